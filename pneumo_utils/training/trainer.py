"""`Trainer`: the moving parts of one run, and one epoch of them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.transforms import EvalTransform, augment_films
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.predict import predict_logits


class Trainer:
    """A model in training, with its films on the device.

    Args:
        config: How to train, its strategy settled.
        model: From `build_model`; it has a part called `head`.
        train: Films of the train split, at least one batch of them.
        accelerator: Decides device and precision.
    """

    def __init__(self, config: TrainConfig, model: nn.Module, train: XrayDataset, *, accelerator):
        self.config, self.accelerator, self.device = config, accelerator, accelerator.device
        self.transform = EvalTransform(config.image_size)
        self.images = torch.from_numpy(train.images).to(self.device)
        self.labels = torch.from_numpy(train.labels).to(self.device)
        self.steps_per_epoch = len(train) // config.batch_size
        self.class_weights = self._weigh_classes(train.labels)
        self.order = torch.Generator().manual_seed(config.seed)
        self.draws = torch.Generator(self.device).manual_seed(config.seed)
        self.bare_model = model.to(self.device, memory_format=torch.channels_last)
        self._make_optimizer()
        self.model, self.optimizer = accelerator.prepare(self.bare_model, self.optimizer)
        self.averaged = AveragedModel(self.bare_model, multi_avg_fn=self._average, use_buffers=True)

    def stage(self, epoch: int) -> str:
        """Which part learns in an epoch, counted from 1: "head" or "all"."""
        in_stage_one = self.config.strategy == "two_stage" and epoch <= self.config.head_epochs
        return "head" if self.config.strategy == "frozen" or in_stage_one else "all"

    def train_epoch(self, epoch: int, *, on_step=lambda loss: None) -> float:
        """Goes once through the films in a new order.

        Args:
            epoch: From 1.
            on_step: Called after each step with its loss.

        Returns:
            The mean loss.

        Raises:
            PneumoError: The loss is no longer a finite number.
        """
        self._set_stage(self.stage(epoch))
        losses = []
        order = torch.randperm(len(self.labels), generator=self.order)
        for batch in order.split(self.config.batch_size)[: self.steps_per_epoch]:
            losses.append(self._step(batch.to(self.device)))
            on_step(losses[-1])
        return float(np.mean(losses))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits of the averaged model, float64 (N,), for films uint8 (N, H, W)."""
        return predict_logits(self.averaged, images, transform=self.transform)

    def get_state(self) -> dict[str, torch.Tensor]:
        """A copy of the averaged weights, by name, on the CPU."""
        state = self.averaged.module.state_dict()
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    @property
    def lr(self) -> float:
        """Present learning rate of the head."""
        return self.optimizer.param_groups[-1]["lr"]

    def _step(self, index: torch.Tensor) -> float:
        levels = self.transform.to_grey_levels(self.images[index])
        levels = augment_films(levels, self.config.augmentation, generator=self.draws)
        inputs = self.transform.normalise(levels).contiguous(memory_format=torch.channels_last)
        with self.accelerator.autocast():
            logits = self.model(inputs)
        loss = self._compute_loss(logits.float(), self.labels[index])
        if not math.isfinite(loss.item()):
            raise PneumoError(
                f"The loss became {loss.item()}; expected a finite number. "
                f"Lower --lr (it is {self.config.lr:g})."
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.scheduler.step()
        self.averaged.update_parameters(self.bare_model)
        return loss.item()

    def _average(self, averaged: list, current: list, num_averaged: torch.Tensor) -> None:
        """Moves the averaged weights towards the present ones; faster at first, to forget the start."""
        steps = int(num_averaged)
        get_ema_multi_avg_fn(min(self.config.ema_decay, (1 + steps) / (10 + steps)))(averaged, current, steps)

    def _compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        smoothing = self.config.label_smoothing
        targets = labels * (1 - 2 * smoothing) + smoothing
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses * self.class_weights[labels]).mean()

    def _weigh_classes(self, labels: np.ndarray) -> torch.Tensor:
        """Weights with which both classes count the same in the loss, 1 on average over films."""
        weights = np.ones(2)
        if self.config.balance_classes:
            weights = len(labels) / (2 * np.bincount(labels, minlength=2))
        return torch.tensor(weights, dtype=torch.float32, device=self.device)

    def _split_parameters(self) -> tuple[list, list]:
        head = list(self.bare_model.head.parameters())
        head_ids = {id(parameter) for parameter in head}
        return [p for p in self.bare_model.parameters() if id(p) not in head_ids], head

    def _make_optimizer(self) -> None:
        """AdamW with the head's rate and the backbone's, both on one cycle over the run."""
        config, num_steps = self.config, self.steps_per_epoch * self.config.num_epochs
        factor = config.backbone_lr_factor if config.strategy == "two_stage" else 1.0
        rates = [config.lr * factor, config.lr]
        groups = [
            {"params": params, "lr": lr} for params, lr in zip(self._split_parameters(), rates, strict=True)
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        if config.schedule == "cosine":
            self.scheduler = CosineAnnealingLR(self.optimizer, num_steps)
        else:
            # One step more than will be taken: the last rate is then above zero, and a run of one
            # step has both legs of the cycle.
            self.scheduler = OneCycleLR(self.optimizer, rates, total_steps=num_steps + 3)

    def _set_stage(self, stage: str) -> None:
        """Frozen layers keep their weights and their normalisation statistics."""
        self.model.train()
        for parameter in self._split_parameters()[0]:
            parameter.requires_grad_(stage == "all")
        if stage == "head":
            self.bare_model.eval()
            self.bare_model.dropout.train()
