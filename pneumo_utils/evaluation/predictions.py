"""What a model said of N films, checked once, so that no figure is computed from nonsense."""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.errors import PneumoError


@dataclass(frozen=True)
class Predictions:
    """Labels and probabilities of N films, and what is known of them.

    Attributes:
        labels: int (N,), 0 or 1.
        probs: float (N,), P(pneumonia) in 0 to 1.
        patients: str (N,), none empty; films of one patient are drawn together.
        names: str (N,).

    Raises:
        PneumoError: There is no film, a label is not 0 or 1, a probability is outside 0 to 1 or not a
            number, a film has no patient, or the arrays differ in length.
    """

    labels: np.ndarray
    probs: np.ndarray
    patients: np.ndarray
    names: np.ndarray

    def __post_init__(self):
        check_labels_and_probs(self.labels, self.probs)
        for name in ("patients", "names"):
            if np.shape(getattr(self, name)) != np.shape(self.labels):
                raise PneumoError(
                    f"{name} has shape {np.shape(getattr(self, name))}; expected one a film, ({len(self)},)."
                )
        for patient, name in zip(self.patients, self.names, strict=True):
            if not isinstance(patient, str) or not patient.strip():
                raise PneumoError(
                    f"The film {name} has the patient key {patient!r}; expected a text that is not empty. "
                    "Where the patient is not known, give each film a key of its own."
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_patients(self) -> int:
        """Different patients, 1 or more."""
        return len(np.unique(self.patients))


def choose_worst(predictions: Predictions, *, threshold: float, count: int) -> np.ndarray:
    """The worst errors.

    Args:
        predictions: Of N films.
        threshold: Call it pneumonia when prob >= threshold.
        count: At most so many.

    Returns:
        int64 (K,), K of `count` or fewer: the wrongly judged films, those furthest from their label first.
    """
    labels, probs = np.asarray(predictions.labels), np.asarray(predictions.probs)
    wrong = np.flatnonzero((probs >= threshold) != (labels == 1))
    return wrong[np.argsort(-np.abs(probs - labels)[wrong], kind="stable")][:count]


def check_labels_and_probs(labels: np.ndarray, probs: np.ndarray) -> None:
    """Refuses what no figure can be computed from.

    Args:
        labels: Expected int (N,), 0 or 1, with N of 1 or more.
        probs: Expected float (N,), P(pneumonia) in 0 to 1.

    Raises:
        PneumoError: They are not that.
    """
    labels, probs = np.asarray(labels), np.asarray(probs)
    if labels.ndim != 1 or labels.shape != probs.shape:
        raise PneumoError(
            f"labels have shape {labels.shape} and probs {probs.shape}; expected one of each a film, (N,)."
        )
    if not len(labels):
        raise PneumoError("There is no film to judge; expected one or more. Check the split and the folder.")
    if not np.isin(labels, (0, 1)).all():
        found = ", ".join(map(str, np.unique(labels)[:5]))
        raise PneumoError(f"The labels are {found}; expected 0 (NORMAL) and 1 (PNEUMONIA) only.")
    if not np.isfinite(probs).all() or probs.min() < 0 or probs.max() > 1:
        raise PneumoError("A probability is outside 0 to 1 or not a number; check the model's weights.")


def check_both_classes(labels: np.ndarray, purpose: str, *, num_each: int = 1) -> None:
    """Refuses films of one class where both are needed.

    Args:
        labels: int (N,), 0 or 1.
        purpose: What needs them, the start of the message.
        num_each: Films that each class must have.

    Raises:
        PneumoError: A class has fewer.
    """
    counts = [int(np.sum(np.asarray(labels) == label)) for label in (0, 1)]
    if min(counts) < num_each:
        found = " and ".join(f"{count} {name}" for count, name in zip(counts, CLASS_NAMES, strict=True))
        raise PneumoError(f"{purpose} needs {num_each} or more films of each class; got {found}.")
