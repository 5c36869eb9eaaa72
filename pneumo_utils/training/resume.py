"""What a run leaves on disk: its history, its checkpoint, and a safe point after each epoch to go on from."""

import glob
import hashlib
import json
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from pneumo_utils.config import TrainConfig, is_fast
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.models.checkpoint import (
    Checkpoint,
    from_values,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
    to_values,
)
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import get_versions, is_out_of_memory, lock_file, make_accelerator, require_writable
from pneumo_utils.training.trainer import Trainer

FORMAT_VERSION = 3
SUFFIX = ".resume"
ANEW = "train anew without --resume (in a lesson: resume=False, or delete the file)"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, counted from 1."""

    epoch: int
    stage: str  # what learnt: "head", "top K of N blocks" or "all"
    lr: float  # learning rate of the head at the end of the epoch
    train_loss: float  # mean over the augmented training films, weighted and smoothed as in training
    val_loss: float  # mean over the validation films of the plain cross-entropy
    val_auroc: float  # area under the ROC curve over all validation films, 0 to 1
    stress_auroc: float  # the same over the stressed copies of these films; the epoch is chosen on it
    is_best: bool  # whether this epoch was the best so far, so that it was kept
    time_s: float  # wall time, seconds

    def describe(self) -> str:
        """One line for people."""
        star = "  best so far" if self.is_best else ""
        return (
            f"epoch {self.epoch:2d}  train loss {self.train_loss:.4f}  val loss {self.val_loss:.4f}  "
            f"val AUROC {self.val_auroc:.4f}  stress AUROC {self.stress_auroc:.4f}  {self.time_s:.0f} s{star}"
        )


def save_history(history: list[EpochRecord], stem: Path) -> None:
    """Writes `<stem>.csv` for people and `<stem>.json`; `stem` is a path without its suffix."""
    import pandas as pd

    stem.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(record) for record in history]
    text = json.dumps(rows, indent=1) + "\n"
    stem.with_name(f"{stem.name}.json").write_text(text, encoding="utf-8", newline="\n")
    pd.DataFrame(rows).to_csv(stem.with_name(f"{stem.name}.csv"), index=False, lineterminator="\n")


def describe_run(
    config: TrainConfig,
    train: XrayDataset,
    val: XrayDataset,
    *,
    weights_path: Path | None,
    teacher: Checkpoint | None,
) -> dict:
    """What makes two runs the same, as plain values by names that can stand in a sentence.

    The configuration is the one that was asked for, not yet settled.
    """
    accelerator = make_accelerator()
    about = {"short mode": "on" if is_fast() else "off", "weights": "none"}
    about |= {"device": accelerator.device.type, "precision": accelerator.mixed_precision}
    about["teacher"] = describe_teacher(teacher)
    if weights_path is not None and weights_path.is_file():
        about["weights"] = hashlib.sha256(weights_path.read_bytes()).hexdigest()
    films = {"train films": train.fingerprint(), "validation films": val.fingerprint()}
    return about | _describe_config(config) | films | get_versions()


def describe_teacher(teacher: Checkpoint | None) -> str:
    """A teacher's name and the first hex digits of a hash of its weights; empty for none."""
    if teacher is None:
        return ""
    digest = hashlib.blake2b(digest_size=6)
    for name in sorted(teacher.state):
        digest.update(teacher.state[name].numpy().tobytes())
    return f"{teacher.model_name} {digest.hexdigest()}"


def _describe_config(config: TrainConfig) -> dict:
    values = asdict(config)
    return values | values.pop("augmentation")


def require_same_run(path: Path, found: dict, asked: dict) -> None:
    """Raises a UsageError that names all of which a file and the present run have different values."""
    names = [name for name in found | asked if found.get(name) != asked.get(name)]
    other = "; ".join(f"{name} {found.get(name)} there, {asked.get(name)} here" for name in names)
    if other:
        raise UsageError(f"{path.name} is of another run ({other}). Give the settings of that, or {ANEW}.")


def load_ended(path: Path, config: TrainConfig, train: XrayDataset, *, teacher=None) -> Checkpoint | None:
    """The checkpoint at `path` of a run that has ended; None if there is none, or a safe point beside it.

    A UsageError is raised if it is of a run with other settings, films or another teacher than these.
    """
    if not path.is_file() or path.with_name(path.name + SUFFIX).exists():
        return None
    checkpoint = load_checkpoint(path)
    found = {"train films": checkpoint.data_fingerprint, "teacher": checkpoint.taught_by}
    asked = {"train films": train.fingerprint(), "teacher": describe_teacher(teacher)}
    found, asked = found | _describe_config(checkpoint.config), asked | _describe_config(config)
    if not found["pretrained"]:  # a wish, and ImageNet weights could not be had; all rates are then the same
        asked |= {name: found[name] for name in ("pretrained", "backbone_lr_factor")}
    require_same_run(path, found, asked)
    return checkpoint


class RunFiles:
    """The checkpoint of a run's best epoch and, until the run has ended, the safe point that lies beside it.

    Nothing is kept without a `checkpoint_path`; of several processes that train together one writes and all
    read. A PneumoError is raised where a file cannot be written, and it stays as it was.
    """

    def __init__(self, checkpoint_path: Path | None, run: dict, *, is_writer: bool = True):
        self.run, self.kept = run, checkpoint_path if is_writer else None
        self.path = checkpoint_path and checkpoint_path.with_name(checkpoint_path.name + SUFFIX)

    def hold(self) -> AbstractContextManager:
        """Keeps a second training away; a PneumoError if there is one already, or no right to write."""
        if self.kept is None:
            return nullcontext()
        require_writable(self.kept.parent)
        return lock_file(self.kept, holder="another training")

    def start(
        self, train: XrayDataset, *, teacher: Checkpoint | None, resume: bool, say: Callable[[str], None]
    ) -> tuple | None:
        """The trainer, best checkpoint and records to go on with, or None; a sentence says which.

        What a process that was killed left half-written is removed. A safe point of another run, or one that
        cannot be read, is an error, and nothing is overwritten.
        """
        if self.path is None:
            if resume:
                raise ValueError("resume is true and checkpoint_path is None; a safe point lies beside it.")
            return None
        if self.kept is not None:
            for half in self.kept.parent.glob(f"{glob.escape(self.kept.name)}.*.tmp"):
                half.unlink(missing_ok=True)
        is_there = self.path.exists()
        if is_there and resume:
            point = self._load(self.path, train, teacher)
            say(f"Training goes on after epoch {len(point[-1])}.")
            return point
        if is_there:
            say(f"{self.path.name} of an earlier run will be overwritten; --resume would go on from it.")
        elif resume:
            say(f"There is no safe point {self.path.name}: training starts from the beginning.")
        return None

    def _load(
        self, path: Path, train: XrayDataset, teacher: Checkpoint | None
    ) -> tuple[Trainer, Checkpoint, list[EpochRecord]]:
        try:
            content = load_tensors(path)
            with zipfile.ZipFile(path) as archive:  # torch does not look at its checksums
                if archive.testzip() is not None:
                    raise ValueError("its checksums are wrong")
            if not isinstance(content, dict) or content.get("format") != FORMAT_VERSION:
                raise ValueError("it is of another format")
            require_same_run(path, content["run"], self.run)
            best = from_values(content["best"]["values"], content["best"]["state"])
            best.build_model()
            model = build_model(best.config.model, dropout=best.config.dropout)
            trainer = Trainer(best.config, model, train, accelerator=make_accelerator(), teacher=teacher)
            trainer.load_state_dict(content["trainer"])
            return trainer, best, [EpochRecord(**row) for row in content["history"]]
        except Exception as error:  # a foreign file can fail in any way; the sentence names it
            if isinstance(error, UsageError) or is_out_of_memory(error):
                raise
            raise PneumoError(
                f"The safe point {path.name} cannot be used ({first_line(error)}). You can {ANEW}."
            ) from error

    def save_epoch(self, trainer: Trainer, best: Checkpoint, history: list[EpochRecord]) -> None:
        """Replaces the safe point by one of this moment, at the end of an epoch, and then the checkpoint."""
        if self.kept is None or self.path is None:
            return
        content = {
            "format": FORMAT_VERSION,
            "run": self.run,
            "trainer": trainer.state_dict(),
            "best": {"state": best.state, "values": to_values(best)},
            "history": [asdict(record) for record in history],
        }
        save_tensors(content, self.path, kind="safe point")
        if history[-1].is_best:
            save_checkpoint(best, self.kept)

    def finish(self, best: Checkpoint) -> None:
        """Keeps the checkpoint alone: the run has come to its end."""
        if self.kept is not None and self.path is not None:
            save_checkpoint(best, self.kept)
            self.path.unlink(missing_ok=True)
