"""The history of a run, and the safe point after each epoch from which a run that was cut off goes on."""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.models.checkpoint import (
    Checkpoint,
    from_values,
    load_tensors,
    require_intact,
    require_valid_weights,
    save_tensors,
    to_values,
)
from pneumo_utils.runtime import get_versions, remove_leftovers
from pneumo_utils.training.trainer import Trainer, is_out_of_memory


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: From 1.
        stage: "head" while only the head learns, else "all".
        lr: Learning rate of the head at the end of the epoch.
        train_loss: Mean over the augmented training films, weighted and smoothed as in training.
        val_loss: Mean over the validation films of the plain cross-entropy.
        val_auroc: Area under the ROC curve over all validation films, 0 to 1.
        stress_auroc: The same over the stressed copies of the validation films; the epoch is chosen on it.
        is_best: Whether this epoch was the best so far, so that it was kept.
        time_s: Wall time, seconds.
    """

    epoch: int
    stage: str
    lr: float
    train_loss: float
    val_loss: float
    val_auroc: float
    stress_auroc: float
    is_best: bool
    time_s: float

    def describe(self) -> str:
        """The epoch on one line."""
        star = "  best so far" if self.is_best else ""
        return (
            f"epoch {self.epoch:2d}  train loss {self.train_loss:.4f}  val loss {self.val_loss:.4f}  "
            f"val AUROC {self.val_auroc:.4f}  stress AUROC {self.stress_auroc:.4f}  {self.time_s:.0f} s{star}"
        )


def save_history(history: list[EpochRecord], stem: Path) -> None:
    """Writes `<stem>.csv` and `<stem>.json`.

    Args:
        history: One record an epoch.
        stem: The path without its suffix.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(record) for record in history]
    stem.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    with open(stem.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(EpochRecord)])
        writer.writeheader()
        writer.writerows(rows)


def load_history(stem: Path) -> list[EpochRecord]:
    """Reads what `save_history` wrote."""
    rows = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    return [EpochRecord(**row) for row in rows]


FORMAT_VERSION = 1
SUFFIX = ".resume"


@dataclass(frozen=True)
class SafePoint:
    """Where a run stood after an epoch.

    Attributes:
        trainer: From `Trainer.state_dict`.
        best: The best checkpoint so far; its configuration is settled.
        history: One record an epoch.
    """

    trainer: dict
    best: Checkpoint
    history: list[EpochRecord]


def describe_run(
    config: TrainConfig, train: XrayDataset, val: XrayDataset, *, weights_path: Path | None, device: str
) -> dict:
    """What makes two runs the same, as plain values by name; the names stand in a sentence.

    Args:
        config: How to train, as it was asked for.
        train: Films of the train split.
        val: Films of the validation split.
        weights_path: ImageNet weights, or None.
        device: "cpu", "cuda", ...
    """
    weights = ""
    if weights_path is not None and weights_path.is_file():
        with open(weights_path, "rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    films = {"train films": train.fingerprint(), "validation films": val.fingerprint()}
    return config.to_dict() | films | {"weights": weights, "device": device} | get_versions()


class SafePointFile:
    """The one safe point of a run.

    Args:
        checkpoint_path: Of the run, which it lies beside; None keeps no safe points.
        run: From `describe_run`.
    """

    def __init__(self, checkpoint_path: Path | None, run: dict):
        self.checkpoint_path, self.run = checkpoint_path, run
        self.path = checkpoint_path and checkpoint_path.with_name(checkpoint_path.name + SUFFIX)

    def start(self, *, resume: bool, say: Callable[[str], None]) -> SafePoint | None:
        """Clears what a killed process left half-written, and finds the safe point to go on from.

        Args:
            resume: Whether to go on from one.
            say: Takes the sentence that says what will be done, where there is a choice.

        Returns:
            The safe point; None if the run starts from the beginning.

        Raises:
            ValueError: It was asked for without a checkpoint path.
        """
        if self.path is None:
            if resume:
                raise ValueError("resume is true and checkpoint_path is None; a safe point lies beside it.")
            return None
        remove_leftovers(self.checkpoint_path)
        if not resume:
            if self.path.exists():
                say(
                    f"The safe point {self.path.name} of an earlier run is not used and will be overwritten; "
                    "--resume (resume=True in fit) would go on from it, if it is of the same run."
                )
            return None
        try:
            point = self._load()
        except FileNotFoundError:
            reason = f"There is no safe point {self.path.name}"
        except Exception as error:  # a foreign file can fail in any way; the sentence names it
            reason = f"The safe point {self.path.name} is not used ({first_line(error)})"
        else:
            say(f"Training goes on after epoch {len(point.history)}.")
            return point
        say(f"{reason}: training starts from the beginning.")
        return None

    def restore(self, point: SafePoint, trainer: Trainer) -> None:
        """Puts a new trainer where the safe point's was.

        Raises:
            PneumoError: The safe point does not fit; the trainer is then spoilt.
        """
        try:
            trainer.load_state_dict(point.trainer)
        except Exception as error:  # lack of memory, or a file made by hand
            if is_out_of_memory(error):
                raise
            raise PneumoError(
                f"The safe point {self.path.name} does not fit ({first_line(error)}). Train without --resume."
            ) from error

    def save(self, trainer: Trainer, best: Checkpoint, history: list[EpochRecord]) -> None:
        """Replaces the safe point by one of this moment, at the end of an epoch.

        Raises:
            PneumoError: The file cannot be written; the safe point before it is kept.
        """
        if self.path is None:
            return
        content = {
            "format": FORMAT_VERSION,
            "run": self.run,
            "trainer": trainer.state_dict(),
            "best": {"state": best.state, "values": to_values(best)},
            "history": [asdict(record) for record in history],
        }
        save_tensors(content, self.path, kind="safe point")

    def remove(self) -> None:
        """Removes it: the run has come to its end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _load(self) -> SafePoint:
        content = load_tensors(self.path)
        require_intact(self.path)
        if not isinstance(content, dict) or content.get("format") != FORMAT_VERSION:
            raise ValueError("it is of another format")
        found, asked = content["run"], self.run
        other = [name for name in found | asked if found.get(name) != asked.get(name)]
        if other:
            raise ValueError(f"it is of a run with another {', another '.join(other)}")
        best = from_values(content["best"]["values"], content["best"]["state"])
        require_valid_weights(best)
        history = [EpochRecord(**row) for row in content["history"]]
        return SafePoint(content["trainer"], best, history)
