"""What a report is made from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.predictions import Predictions
from pneumo_utils.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Material:
    """A model, the films that it is judged on, and what it says of them.

    Attributes:
        checkpoint: The model.
        dataset: The films.
        row: Its figures, from `evaluate`.
        predictions: What it says of them, from the same call.
        validation: What it says of the validation films of its training set; None where they are not at hand
            or are the ones that are judged.
        rivals: Other models' predictions for the same films and their thresholds, by name.
        warnings: What the guard says of the films, by name.
    """

    checkpoint: Checkpoint
    dataset: XrayDataset
    row: dict
    predictions: Predictions
    validation: Predictions | None = None
    rivals: dict[str, tuple[Predictions, float]] = field(default_factory=dict)
    warnings: dict[str, str] | None = None

    @property
    def models(self) -> dict[str, Predictions]:
        """The predictions of the model and its rivals, by name, the model first."""
        return {self.checkpoint.model_name: self.predictions} | {n: p for n, (p, _) in self.rivals.items()}

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds of the model and its rivals, by name."""
        return {self.checkpoint.model_name: self.row["threshold"]} | {
            name: threshold for name, (_, threshold) in self.rivals.items()
        }

    @property
    def mark(self) -> dict[str, bool]:
        """What figures are told, so that those of phantoms are marked."""
        return {"synthetic": self.dataset.is_synthetic}

    @property
    def predict(self) -> Callable[[XrayDataset], np.ndarray]:
        """The model as a function from films to probabilities."""
        return make_predict(self.checkpoint)
