"""What happened in each epoch, kept as CSV for people and JSON for programs."""

import csv
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path


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
