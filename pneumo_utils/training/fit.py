"""`fit`: from films and a configuration to the best model on validation."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from tqdm import tqdm

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.models.backbone import FinetunedBackbone
from pneumo_utils.models.checkpoint import Checkpoint, save_checkpoint
from pneumo_utils.models.predict import compute_probs
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import get_versions, keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.resume import EpochRecord, SafePointFile, describe_run
from pneumo_utils.training.thresholds import calibrate, choose_operating_points
from pneumo_utils.training.trainer import Trainer, name_what_to_lower

RANDOM_WEIGHTS_SENTENCE = (
    "The ImageNet weights could not be had, so the backbone starts from random weights "
    "(pretrained: false); run again with a network, or give a file with --weights (weights_path in fit)."
)


@dataclass(frozen=True)
class FitResult:
    """What training leaves: the best epoch's checkpoint and the record of every epoch."""

    checkpoint: Checkpoint
    history: list[EpochRecord]


def prepare_model(
    config: TrainConfig, *, weights_path: Path | None = None, say: Callable[[str], None] = print
) -> tuple[nn.Module, TrainConfig, bool]:
    """Builds the model and settles how it starts.

    Args:
        config: How to train.
        weights_path: ImageNet weights; None asks torchvision's download.
        say: Takes the sentence that the weights could not be fetched.

    Returns:
        The model, the configuration with "auto" replaced by what will be done, and whether the
        backbone has ImageNet weights.

    Raises:
        UsageError: Weights or a strategy for a backbone were asked of a model that has none.
    """
    model = build_model(config.model, dropout=config.dropout)
    if not isinstance(model, FinetunedBackbone):
        if config.strategy in ("two_stage", "frozen") or weights_path is not None:
            raise UsageError(
                f"{config.model} has no pretrained backbone; expected --strategy full and no --weights. "
                "Choose --model resnet_finetune for transfer."
            )
        return model, replace(config, strategy="full", pretrained=False), False
    state = model.load_imagenet_state(weights_path) if config.pretrained else None
    if state is not None:
        model.use_imagenet_state(state)
    elif config.pretrained:
        say(RANDOM_WEIGHTS_SENTENCE)
    if config.strategy == "auto":
        config = replace(config, strategy="full" if state is None else "two_stage")
    return model, config, state is not None


@name_what_to_lower
def fit(
    config: TrainConfig,
    train: XrayDataset,
    *,
    val: XrayDataset,
    weights_path: Path | None = None,
    checkpoint_path: Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> FitResult:
    """Trains a model and keeps the epoch that is best on the stress validation films.

    Args:
        config: How to train.
        train: Films of the train split.
        val: Films of the validation split; every choice is made on them and their stressed copies.
        weights_path: ImageNet weights for `resnet_finetune`; None asks torchvision's download.
        checkpoint_path: Written at each new best epoch, by the first process of a run of several; None keeps
            the checkpoint in memory only. Beside it lies, until training has ended, a safe point of the last
            epoch.
        resume: Go on from the safe point, if there is one of the same run; a sentence says so either way.
        say: Takes one line an epoch.

    Returns:
        The best epoch's checkpoint, with temperature and threshold chosen on validation, and the history.

    Raises:
        ValueError: `train` or `val` is of another split: a test set cannot be handed over. Or `resume` is
            true without a `checkpoint_path`.
        UsageError: The batch is larger than the set, or the strategy does not fit the model.
        PneumoError: The loss is no longer finite, memory ran out, or a file cannot be written.
    """
    _require_fit_data(config, train, val)
    keep_freed_memory()
    set_seed(config.seed)
    accelerator = make_accelerator()
    is_writer = accelerator.is_main_process
    say = say if is_writer else _say_nothing
    run = describe_run(config, train, val, weights_path=weights_path, device=accelerator.device.type)
    safe_points = SafePointFile(checkpoint_path, run)
    point, stressed = safe_points.start(resume=resume, say=say), make_stress_films(val)
    if not is_writer:
        checkpoint_path, safe_points = None, SafePointFile(None, run)
    if point is None:
        model, config, pretrained = prepare_model(config, weights_path=weights_path, say=say)
        trainer, history = Trainer(config, model, train, accelerator=accelerator), []
        best = Checkpoint(
            config=config,
            transform=trainer.transform,
            state={},
            threshold=0.5,
            pretrained=pretrained,
            source=train.source,
            data_fingerprint=train.fingerprint(),
            versions=get_versions(),
        )
    else:
        config, best, history = point.best.config, point.best, point.history
        model = build_model(config.model, dropout=config.dropout)
        trainer = Trainer(config, model, train, accelerator=accelerator)
        safe_points.restore(point, trainer)
    num_steps, num_done = (trainer.steps_per_epoch * n for n in (config.num_epochs, len(history)))
    show = {"desc": config.model, "unit": "step", "file": sys.stderr, "mininterval": 1}
    show["disable"] = not is_writer
    with tqdm(total=num_steps, initial=num_done, **show) as bar:
        while not _is_over(config, history):
            record, calibration = _run_epoch(trainer, len(history) + 1, val, stressed, history, bar)
            history.append(record)
            say(record.describe())
            if record.is_best:
                best = replace(best, state=trainer.get_state(), **calibration)
                if checkpoint_path is not None:
                    save_checkpoint(best, checkpoint_path)
            safe_points.save(trainer, best, history)
    if len(history) < config.num_epochs:
        say(f"No better epoch in {config.patience}: training stops early.")
    best = calibrate(best, val, stressed)
    if checkpoint_path is not None:
        save_checkpoint(best, checkpoint_path)
    safe_points.remove()
    return FitResult(best, history)


def _say_nothing(text: str) -> None:
    """For all processes of a run but the first."""


def _is_over(config: TrainConfig, history: list[EpochRecord]) -> bool:
    """Whether all epochs are done, or the last `patience` of them brought no better one."""
    best_epoch = max((record.epoch for record in history if record.is_best), default=0)
    return len(history) == config.num_epochs or len(history) - best_epoch >= config.patience


def _require_fit_data(config: TrainConfig, train: XrayDataset, val: XrayDataset) -> None:
    if (train.split, val.split) != ("train", "val"):
        raise ValueError(f"fit was handed {train.split} and {val.split} films; expected train and val.")
    require_train_films(config, train)
    val.require_both_classes()


def require_train_films(config: TrainConfig, train: XrayDataset) -> None:
    """Nothing, if a model can be trained on these films.

    Raises:
        ValueError: They are of another split than "train".
        PneumoError: A class has no film, or the batch is larger than the set.
    """
    if train.split != "train":
        raise ValueError(f"Training was handed {train.split} films; expected train.")
    train.require_both_classes()
    if config.batch_size > len(train):
        raise UsageError(
            f"batch_size is {config.batch_size} and the train split has {len(train)} films; expected a "
            "batch no larger than the set. Lower --batch_size."
        )


def _run_epoch(trainer: Trainer, epoch: int, val, stressed, history: list[EpochRecord], bar: tqdm):
    """Trains for an epoch and judges it.

    Returns:
        Its record, and what a checkpoint of this epoch would hold besides weights.
    """

    def show_step(loss: float) -> None:
        bar.set_postfix(shown | {"loss": f"{loss:.3f}"}, refresh=False)
        bar.update()

    started = time.perf_counter()
    shown = {"epoch": epoch} | ({"val_auroc": f"{history[-1].val_auroc:.4f}"} if history else {})
    train_loss = trainer.train_epoch(epoch, on_step=show_step)
    logits, stress_logits = trainer.predict(val.images), trainer.predict(stressed.images)
    stress_auroc = float(roc_auc_score(stressed.labels, stress_logits))
    record = EpochRecord(
        epoch=epoch,
        stage=trainer.stage(epoch),
        lr=trainer.lr,
        train_loss=train_loss,
        val_loss=float(log_loss(val.labels, compute_probs(logits), labels=[0, 1])),
        val_auroc=float(roc_auc_score(val.labels, logits)),
        stress_auroc=stress_auroc,
        is_best=stress_auroc > max((earlier.stress_auroc for earlier in history), default=-1.0),
        time_s=time.perf_counter() - started,
    )
    figures = {"auroc": record.val_auroc, "stress_auroc": stress_auroc, "loss": record.val_loss}
    points = choose_operating_points(logits, val.labels, stress_logits, stressed.labels)
    return record, points | {"val_metrics": {"epoch": epoch} | figures}
