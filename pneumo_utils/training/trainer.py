"""`Trainer`: the moving parts of one run (optimizer, schedule, averaged weights), and one epoch of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, gather_object
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pneumo_utils.config import EvalTransform, TrainConfig, expect
from pneumo_utils.data.augmentation import augment_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.backbone import FinetunedBackbone, list_blocks
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import predict_logits


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.AdamW:
    """AdamW with one group of parameters a block and one for the head, the head last.

    The rates fall geometrically from the head down to `backbone_lr_factor` of it at the lowest block: what
    was learnt from a million photographs changes least where it is most general.

    Source: Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, arXiv 1801.06146: discriminative
    rates. Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101: AdamW.
    """
    parts = [*list_blocks(model), model.get_submodule("head")]
    depth, factor = len(parts) - 1, config.backbone_lr_factor
    groups = [
        {"params": list(part.parameters()), "lr": config.lr * factor ** ((depth - index) / depth)}
        for index, part in enumerate(parts)
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def make_schedule(optimizer: torch.optim.Optimizer, num_steps: int) -> LRScheduler:
    """One cycle up and down (Smith and Topin, Super-Convergence, arXiv 1708.07120)."""
    # Three steps more than will be taken: the last rate is above zero, and a run of one step has a cycle.
    return OneCycleLR(optimizer, [g["lr"] for g in optimizer.param_groups], total_steps=num_steps + 3)


class Trainer:
    """A model in training, with its films on the device; the configuration's strategy is settled.

    Several processes, started by `accelerate launch` or `torchrun`, may train one model together: each draws
    the same batches and augmentation, and takes every n-th film of a batch or of those to be predicted. Batch
    normalisation sees the films of its own process alone.
    """

    def __init__(
        self, config: TrainConfig, model: nn.Module, train: XrayDataset, *, accelerator, teacher=None
    ):
        self.config, self.accelerator, self.device = config, accelerator, accelerator.device
        self.transform = EvalTransform(config.image_size, train.preset)
        self.teach = teacher and self._prepare_teacher(teacher)
        self.images = torch.from_numpy(train.images).to(self.device)
        self.labels = torch.from_numpy(train.labels).to(self.device)
        self.steps_per_epoch = len(train) // config.batch_size
        self.class_weights = self._weigh_classes(train.labels)
        self.order = torch.Generator().manual_seed(config.seed)
        self.draws = torch.Generator(self.device).manual_seed(config.seed)
        self.shares = np.random.default_rng(config.seed)
        self.bare_model: Any = model.to(self.device).to(memory_format=torch.channels_last)
        self.blocks = list_blocks(self.bare_model)
        optimizer = make_optimizer(config, self.bare_model)
        self.schedule = make_schedule(optimizer, self.steps_per_epoch * config.num_epochs)
        self.model, self.optimizer = accelerator.prepare(self.bare_model, optimizer)
        self.averaged = AveragedModel(self.bare_model, multi_avg_fn=self._average, use_buffers=True)
        self.frozen = self._make_frozen_features()

    @property
    def lr(self) -> float:
        """Present learning rate of the head."""
        return self.optimizer.param_groups[-1]["lr"]

    def num_open_blocks(self, epoch: int) -> int:
        """How many of the backbone's blocks learn in an epoch, from 1, counted from the top down."""
        config, total = self.config, len(self.blocks)
        if config.strategy != "two_stage":
            return 0 if config.strategy == "frozen" else total
        done = min(max(epoch - config.head_epochs, 0), config.unfreeze_epochs)
        return math.ceil(total * done / config.unfreeze_epochs)

    def stage(self, epoch: int) -> str:
        """Which part learns in an epoch, from 1: "head", "top K of N blocks" or "all"."""
        opened, total = self.num_open_blocks(epoch), len(self.blocks)
        if opened == total:
            return "all"
        return f"top {opened} of {total} blocks" if opened else "head"

    def train_epoch(self, epoch: int, *, on_step: Callable[[float], None] = lambda loss: None) -> float:
        """Goes once through the films in a new order and returns the mean loss; `on_step` takes each."""
        self.open_blocks(self.num_open_blocks(epoch))
        losses = []
        for batch in self.draw_batches():
            losses.append(self.step(batch))
            on_step(losses[-1])
        return float(np.mean(losses))

    def open_blocks(self, num_open: int) -> None:
        """Lets the head and the top blocks learn; the others keep weights and normalisation statistics."""
        if num_open > 0:
            self.frozen = None
        self.model.train()
        for index, block in enumerate(self.blocks):
            is_open = index >= len(self.blocks) - num_open
            block.train(is_open).requires_grad_(is_open)

    def draw_batches(self) -> list[torch.Tensor]:
        """The films of one epoch, in a new order: int64 (B,) indices for each step."""
        num_films = len(self.labels)
        if self.config.balance == "sampling":
            odds = 1 / torch.bincount(self.labels).cpu().double()[self.labels.cpu()]
            order = torch.multinomial(odds, num_films, replacement=True, generator=self.order)
        else:
            order = torch.randperm(num_films, generator=self.order)
        batches = order.split(self.config.batch_size)[: self.steps_per_epoch]
        return [batch.to(self.device) for batch in batches]

    def step(self, index: torch.Tensor) -> float:
        """One step of the optimizer on the films at `index`, int64 (B,); returns the loss before it."""
        loss = self.compute_loss(index)
        mean = self.accelerator.reduce(loss.detach(), "mean").item()
        self._require_finite("loss", torch.tensor(mean))
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.schedule.step()
        self._update_average()
        return mean

    def compute_loss(self, index: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of the films at `index`, int64 (B,), weighted by class, labels smoothed.

        With a teacher the label is a mean of its own and of the teacher's probability for the same copy.
        """
        labels, smoothing = self.labels[index], self.config.label_smoothing
        targets, weights = labels * (1 - 2 * smoothing) + smoothing, self.class_weights[labels]
        if self.frozen is not None:
            logits = self.bare_model.classify(self.frozen.get(index))
        else:
            levels = self._draw_levels(index)
            inputs = self._fit_inputs(levels)
            if self.teach is not None:
                targets = torch.lerp(targets, self.teach(levels), self.config.teacher_share)
            if self.config.mixup > 0:
                share = self.shares.beta(self.config.mixup, self.config.mixup)
                inputs, targets, weights = (_mix(x, share) for x in (inputs, targets, weights))
            inputs, targets, weights = map(self._take_share, (inputs, targets, weights))
            with self.accelerator.autocast():
                logits = self.model(inputs.contiguous(memory_format=torch.channels_last))
        losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        # Gradients are averaged over processes, whose shares of a batch can differ by a film.
        return (losses * weights).mean() * (len(losses) * self.accelerator.num_processes / len(index))

    def _weigh_classes(self, labels: np.ndarray) -> torch.Tensor:
        """Weights with which both classes count the same in the loss, 1 on average over films."""
        weights = np.ones(2)
        if self.config.balance == "weights":
            weights = len(labels) / (2 * np.bincount(labels, minlength=2))
        return torch.tensor(weights, dtype=torch.float32, device=self.device)

    def _draw_levels(self, index: torch.Tensor) -> torch.Tensor:
        """Films under a new draw of the augmentation: grey levels, float (B, 1, H, W) in 0 to 1."""
        levels = self.images[index].unsqueeze(1).float().div_(255)
        return augment_films(levels, self.config.augmentation, generator=self.draws)

    def _fit_inputs(self, levels: torch.Tensor) -> torch.Tensor:
        """Grey levels as the model takes them: float (B, 1, S, S)."""
        return self.transform.normalise(self.transform.resize(levels))

    def _prepare_teacher(self, teacher: Checkpoint) -> Callable[[torch.Tensor], torch.Tensor]:
        """A function from grey levels, (B, 1, H, W), to the teacher's P(pneumonia), (B,), of the same films.

        Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
        """
        expect(
            teacher.transform.name == self.transform.name,
            "The teacher's preset",
            teacher.transform.name,
            self.transform.name,
        )
        model = teacher.build_model().to(self.device).to(memory_format=torch.channels_last)

        @torch.no_grad()
        def teach(levels: torch.Tensor) -> torch.Tensor:
            inputs = teacher.transform.normalise(teacher.transform.resize(levels))
            with self.accelerator.autocast():
                logits = model(inputs.contiguous(memory_format=torch.channels_last))
            return torch.sigmoid(logits.float() / teacher.temperature)

        return teach

    def _take_share(self, values):
        """The films of this process."""
        return values[self.accelerator.process_index :: self.accelerator.num_processes]

    def _make_frozen_features(self) -> "FrozenFeatures | None":
        """A table for the first epochs, if only the head learns in them, from each film and label alone."""
        is_alone = self.accelerator.num_processes == 1 and self.config.mixup == 0 and self.teach is None
        if isinstance(self.bare_model, FinetunedBackbone) and is_alone and self.num_open_blocks(1) == 0:
            return FrozenFeatures(len(self.labels), self._compute_features)
        return None

    def _compute_features(self, index: torch.Tensor) -> torch.Tensor:
        with self.accelerator.autocast():
            inputs = self._fit_inputs(self._draw_levels(index)).contiguous(memory_format=torch.channels_last)
            return self.bare_model.backbone(inputs)

    def _update_average(self) -> None:
        if self.frozen is None or self.averaged.n_averaged == 0:
            self.averaged.update_parameters(self.bare_model)
            return
        # The backbone stands still, and so does its average: only the head's is to be moved.
        averaged = list(self.averaged.module.get_submodule("head").parameters())
        current = list(self.bare_model.head.parameters())
        with torch.no_grad():
            self._average(averaged, current, self.averaged.n_averaged)
        self.averaged.n_averaged += 1

    def _average(self, averaged: Sequence, current: Sequence, num_averaged: torch.Tensor | int) -> None:
        """Moves the averaged weights towards the present ones; faster at first, to forget the start."""
        steps = int(num_averaged)
        get_ema_multi_avg_fn(min(self.config.ema_decay, (1 + steps) / (10 + steps)))(averaged, current, steps)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits of the averaged model, float64 (N,), for films uint8 (N, H, W); finite, or a PneumoError."""
        if self.frozen is not None:
            logits = self.frozen.predict(self.averaged.module, images, self.transform)
        else:
            broadcast(list(self.averaged.buffers()))  # each process has normalisation statistics of its own
            share = predict_logits(self.averaged, self._take_share(images), transform=self.transform)
            shares = gather_object([share])
            logits = np.empty(len(images))
            for rank, part in enumerate(shares):
                logits[rank :: len(shares)] = part
        weights = self.averaged.state_dict().values()
        self._require_finite("weights or logits", torch.from_numpy(logits), *weights)
        return logits

    def get_state(self) -> dict[str, torch.Tensor]:
        """A copy of the averaged weights, by name, on the CPU."""
        state = self.averaged.module.state_dict()
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    def _require_finite(self, what: str, *values: torch.Tensor) -> None:
        if not all(torch.isfinite(value).all() for value in values):
            raise PneumoError(f"The {what} became infinite or NaN. Lower --lr (it is {self.config.lr:g}).")

    def state_dict(self) -> dict:
        """All that the next epochs depend on: weights, averages, optimizer, schedule, random generators."""
        state = {name: part.state_dict() for name, part in self._list_parts().items()}
        return state | {
            "order": self.order.get_state(),
            "draws": self.draws.get_state(),
            "shares": self.shares.bit_generator.state,
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "frozen": self.frozen and self.frozen.state_dict(),
            "num_threads": torch.get_num_threads(),  # the last bits of a sum on a CPU depend on it
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes back to a state of the same configuration, films and device; also sets torch's threads."""
        for name, part in self._list_parts().items():
            part.load_state_dict(state[name])
        self.order.set_state(state["order"])
        self.draws.set_state(state["draws"])
        self.shares.bit_generator.state = state["shares"]
        torch.set_rng_state(state["random"])
        torch.cuda.set_rng_state_all(state["cuda"])
        if self.frozen is not None and state["frozen"] is not None:
            self.frozen.load_state_dict(state["frozen"], device=self.device)
        else:
            self.frozen = None
        torch.set_num_threads(state["num_threads"])

    def _list_parts(self) -> dict:
        parts = {"model": self.bare_model, "averaged": self.averaged, "optimizer": self.optimizer}
        parts |= {"schedule": self.schedule, "scaler": self.accelerator.scaler}  # a scaler for fp16 only
        return {name: part for name, part in parts.items() if part is not None}


def _mix(values: torch.Tensor, share: float) -> torch.Tensor:
    """Each film of a batch blended with the one at its place from the batch's end."""
    return share * values + (1 - share) * values.flip(0)


class FrozenFeatures:
    """Features of films by a backbone that does not learn, in a table that fills itself.

    They are of one draw of the augmentation for each film, computed when a batch first asks for them: the
    first epoch costs what an epoch without the table would, gives the same, and the epochs after it cost next
    to nothing.

    Args:
        num_films: Rows of the table, 1 or more.
        compute: Features, float (B, F), of the films at indices, int64 (B,), under a new draw.
    """

    def __init__(self, num_films: int, compute: Callable[[torch.Tensor], torch.Tensor]):
        self.compute, self.known = compute, torch.zeros(num_films, dtype=torch.bool)
        self.table: torch.Tensor | None = None
        self.predicted: list[tuple[np.ndarray, torch.Tensor]] = []

    def get(self, index: torch.Tensor) -> torch.Tensor:
        """Features of a batch: float (B, F), without gradient, for films at `index`, int64 (B,)."""
        missing = index[~self.known[index.cpu()].to(index.device)]
        if self.table is None or len(missing):
            with torch.no_grad():
                computed = self.compute(missing).float()
            if self.table is None:
                self.table = computed.new_zeros(len(self.known), computed.shape[1])
            self.table[missing] = computed
            self.known[missing.cpu()] = True
        return self.table[index]

    def state_dict(self) -> dict[str, torch.Tensor | None]:
        """What is known of the training films."""
        return {"known": self.known, "table": self.table}

    def load_state_dict(self, state: dict[str, torch.Tensor], *, device: torch.device) -> None:
        self.known, self.table = state["known"], state["table"].to(device)

    def predict(self, model, images: np.ndarray, transform: EvalTransform) -> np.ndarray:
        """What `predict_logits` gives, float64 (N,), for films that are asked about after each epoch.

        `model` has the head of the moment; `images`, uint8 (N, H, W), is the very same array in each epoch.
        """
        features = next((kept for films, kept in self.predicted if films is images), None)
        if features is None:
            found = predict_logits(model.backbone, images, transform=transform)
            features = torch.from_numpy(found).to(model.head.weight)
            self.predicted.append((images, features))
        with torch.no_grad():
            return model.head(features).squeeze(1).cpu().double().numpy()  # a Mac's GPU has no doubles
