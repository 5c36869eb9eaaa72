"""`fit`: from films and a configuration to the best model on validation."""

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
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import (
    get_versions,
    keep_freed_memory,
    make_accelerator,
    name_what_to_lower,
    set_seed,
)
from pneumo_utils.training.resume import EpochRecord, RunFiles, describe_run, describe_teacher
from pneumo_utils.training.thresholds import calibrate, choose_settings
from pneumo_utils.training.trainer import Trainer

RANDOM_WEIGHTS_SENTENCE = (
    "The ImageNet weights could not be had, so the backbone starts from random weights "
    "(pretrained: false); run again with an internet connection, or give a file with --weights "
    "(weights_path in fit)."
)


@dataclass(frozen=True)
class FitResult:
    """What training leaves: the best epoch's checkpoint and the record of every epoch."""

    checkpoint: Checkpoint
    history: list[EpochRecord]


@name_what_to_lower
def fit(
    config: TrainConfig,
    train: XrayDataset,
    *,
    val: XrayDataset,
    weights_path: Path | None = None,
    teacher: Checkpoint | None = None,
    checkpoint_path: Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> FitResult:
    """Trains a model and keeps the epoch that is best on stressed copies of the validation films.

    Args:
        train, val: Films of the two splits; every choice is made on `val`, of the model's `image_size`, and
            its stressed copies.
        weights_path: ImageNet weights of a backbone; None takes those that are published for it.
        teacher: A network that has seen none of the films of `val`; its probability for a film's augmented
            copy counts by `teacher_share` beside the label. For it the films of `train` may be larger.
        checkpoint_path: Written at each new best epoch; None keeps the checkpoint in memory only.
        resume: Go on after the last epoch of the same run, if it was cut off; a sentence says whether.
        say: Takes one line an epoch.

    Raises:
        ValueError: `train` or `val` is of another split, `val` of another size, or `resume` lacks a
            `checkpoint_path`.
        UsageError: Settings fit neither films nor model, or are not those of the run to go on with.
        PneumoError: Loss or weights overflow, memory ran out, or a file is in use, unreadable or unwritable.
    """
    if (train.split, val.split) != ("train", "val"):
        raise ValueError(f"fit was handed {train.split} and {val.split} films; expected train and val.")
    if val.images.shape[1:] != (config.image_size, config.image_size):
        raise ValueError(f"val has films of {val.images.shape[1:]}; expected squares of {config.image_size}.")
    val.require_both_classes()
    keep_freed_memory()
    accelerator = make_accelerator()
    is_writer = accelerator.is_main_process  # of several processes one speaks and writes
    say = say if is_writer else lambda text: None
    run = describe_run(config, train, val, weights_path=weights_path, teacher=teacher)
    files = RunFiles(checkpoint_path, run, is_writer=is_writer)
    with files.hold():
        point = files.start(train, teacher=teacher, resume=resume, say=say)
        if point is not None:
            return _train(*point, val=val, files=files, say=say)
        trainer, pretrained = make_trainer(config, train, weights_path=weights_path, teacher=teacher, say=say)
        about: dict = {"pretrained": pretrained, "source": train.source, "versions": get_versions()}
        about |= {"data_fingerprint": train.fingerprint(), "taught_by": describe_teacher(teacher)}
        best = Checkpoint(trainer.config, trainer.transform, state={}, threshold=0.5, **about)
        return _train(trainer, best, [], val=val, files=files, say=say)


def _train(
    trainer: Trainer,
    best: Checkpoint,
    history: list[EpochRecord],
    *,
    val: XrayDataset,
    files: RunFiles,
    say: Callable[[str], None],
) -> FitResult:
    """Trains the epochs that are left, then settles temperature and thresholds.

    Until there is a first best epoch, `best` lacks weights and a threshold of its own.
    """
    config, steps, stressed = trainer.config, trainer.steps_per_epoch, make_stress_films(val)
    bar = tqdm(
        total=steps * config.num_epochs,
        initial=steps * len(history),
        desc=config.model,
        unit="step",
        mininterval=1,
        disable=not trainer.accelerator.is_main_process,
    )
    with bar:
        while not _is_over(config, history):
            record, choices = _run_epoch(trainer, history, val=val, stressed=stressed, bar=bar)
            history.append(record)
            say(record.describe())
            if record.is_best:
                best = replace(best, state=trainer.get_state(), **choices)
            files.save_epoch(trainer, best, history)
    if len(history) < config.num_epochs:
        say(f"No better epoch in {config.patience}: training stops early.")
    best = calibrate(best, val, stressed)
    files.finish(best)
    return FitResult(best, history)


def _is_over(config: TrainConfig, history: list[EpochRecord]) -> bool:
    """Whether all epochs are done, or the last `patience` of them brought no better one."""
    best_epoch = max((record.epoch for record in history if record.is_best), default=0)
    return len(history) == config.num_epochs or len(history) - best_epoch >= config.patience


def _run_epoch(
    trainer: Trainer, history: list[EpochRecord], *, val: XrayDataset, stressed: XrayDataset, bar: tqdm
) -> tuple[EpochRecord, dict]:
    """Trains for an epoch: its record, and what a checkpoint of it would hold besides weights."""
    epoch, started = len(history) + 1, time.perf_counter()

    def show_step(loss: float) -> None:
        bar.set_postfix(epoch=epoch, loss=f"{loss:.3f}", refresh=False)
        bar.update()

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
    choices = choose_settings(val.labels, logits, stress_labels=stressed.labels, stress_logits=stress_logits)
    figures = {"auroc": record.val_auroc, "stress_auroc": stress_auroc, "loss": record.val_loss}
    return record, choices | {"val_metrics": {"epoch": epoch} | figures}


def make_trainer(
    config: TrainConfig, train: XrayDataset, *, weights_path: Path | None = None, teacher=None, say=print
) -> tuple[Trainer, bool]:
    """A trainer at its start, and whether the backbone has ImageNet weights; errors as from `fit`."""
    if train.split != "train":
        raise ValueError(f"Training was handed {train.split} films; expected train.")
    train.require_both_classes()
    if config.batch_size > len(train):
        raise UsageError(
            f"batch_size is {config.batch_size} and the train split has {len(train)} films; expected a "
            "batch no larger than the set. Lower --batch_size."
        )
    keep_freed_memory()
    set_seed(config.seed)
    model, config, pretrained = prepare_model(config, weights_path=weights_path, say=say)
    return Trainer(config, model, train, accelerator=make_accelerator(), teacher=teacher), pretrained


def prepare_model(
    config: TrainConfig, *, weights_path: Path | None = None, say: Callable[[str], None] = print
) -> tuple[nn.Module, TrainConfig, bool]:
    """Builds the model and settles how it starts; a sentence says if weights could not be fetched.

    Returns the model, the configuration as it is used, and whether the backbone has ImageNet weights. Weights
    or a strategy for a backbone that are asked of a model that has none raise a UsageError.
    """
    model = build_model(config.model, dropout=config.dropout)
    if not isinstance(model, FinetunedBackbone):
        if config.strategy in ("two_stage", "frozen") or weights_path is not None:
            raise UsageError(
                f"{config.model} has no pretrained backbone; expected --strategy full and no --weights. "
                "Choose --model resnet_finetune for transfer."
            )
        return model, replace(config, pretrained=False, backbone_lr_factor=1.0), False
    state = model.load_imagenet_state(weights_path, say=say) if config.pretrained else None
    if state is not None:
        model.use_imagenet_state(state)
        return model, config, True
    if config.pretrained:
        say(RANDOM_WEIGHTS_SENTENCE)
    return model, replace(config, pretrained=False, backbone_lr_factor=1.0), False
