"""One film in, one answer out: the same read, the same guard, the same transform as in training."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.image_io import IMAGE_SUFFIXES, load_image
from pneumo_utils.errors import ImageError, PneumoError, UsageError
from pneumo_utils.inference.guard import check_film
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.runtime import make_accelerator


@dataclass(frozen=True)
class Prediction:
    """The answer for one film.

    Attributes:
        path: What was asked about.
        status: "ok" or "rejected".
        label: A class name; None where rejected.
        probability: P(pneumonia), 0 to 1; None where rejected.
        threshold: The label is PNEUMONIA when probability >= threshold.
        model: The model's name.
        trained_on: The data set it learnt from.
        warnings: What makes the answer doubtful, in sentences.
        reason: Why it was rejected; None otherwise.
        time_s: Wall time from bytes to answer, seconds.
    """

    path: str
    status: str
    label: str | None
    probability: float | None
    threshold: float
    model: str
    trained_on: str
    warnings: list[str]
    reason: str | None
    time_s: float

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)

    def describe(self) -> str:
        """The answer in one sentence."""
        if self.status == "rejected":
            return f"{self.path}: rejected. {self.reason}"
        side = "at or above" if self.probability >= self.threshold else "below"
        text = (
            f"{self.path}: {self.label}, P(pneumonia) = {self.probability:.3f}, {side} "
            f"the threshold {self.threshold:.3f} of {self.model}."
        )
        return " ".join([text, *(f"Warning: {warning}" for warning in self.warnings)])


class Predictor:
    """A trained model, loaded once, that answers for any number of films.

    Args:
        checkpoint: The trained model with its transform, temperature and thresholds.
        screening: Decide at the threshold that misses few pneumonias, not at the balanced one.

    Raises:
        UsageError: The checkpoint has no screening threshold.
    """

    def __init__(self, checkpoint: Checkpoint, *, screening: bool = False):
        if screening and checkpoint.screening_threshold is None:
            raise UsageError("This checkpoint has no screening threshold; train it again, or leave it out.")
        self.checkpoint = checkpoint
        self.threshold = checkpoint.screening_threshold if screening else checkpoint.threshold
        self.model = checkpoint.build_model().to(make_accelerator().device)

    def predict(self, source, *, name: str | None = None) -> Prediction:
        """Answers for one film; what cannot be read is rejected with the reason, never raised.

        Args:
            source: A path, the bytes of a file, or an array, as `load_image` takes them.
            name: Shown in the answer; the path if None.

        Returns:
            The prediction.
        """
        started = time.perf_counter()
        name = name or (str(source) if isinstance(source, (str, Path)) else "film")
        about = self.checkpoint
        common = {"path": name, "threshold": self.threshold, "model": about.model_name}
        common["trained_on"] = about.source
        try:
            image, warnings = self.read(source)
        except ImageError as error:
            spent = time.perf_counter() - started
            return Prediction(**common, status="rejected", label=None, probability=None, warnings=[],
                              reason=str(error), time_s=spent)  # fmt: skip
        logits = predict_logits(
            self.model, image[None], transform=about.transform, flip_average=about.flip_average
        )
        prob = float(compute_probs(logits, about.temperature)[0])
        label = CLASS_NAMES[int(prob >= self.threshold)]
        spent = time.perf_counter() - started
        return Prediction(**common, status="ok", label=label, probability=prob, warnings=warnings,
                          reason=None, time_s=spent)  # fmt: skip

    def read(self, source) -> tuple[np.ndarray, list[str]]:
        """The film as the model sees it, and the guard's warnings.

        Args:
            source: As for `predict`.

        Returns:
            uint8 (S, S) at the model's input size, and sentences.

        Raises:
            ImageError: The film cannot be read, or is blank.
        """
        warnings = check_film(load_image(source))
        if self.checkpoint.source == "synthetic":
            warnings.append("The model learnt from SYNTHETIC phantoms; its answer says nothing about people.")
        return load_image(source, image_size=self.checkpoint.transform.image_size), warnings


def list_images(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are named, folders as the image files below them, sorted.

    Raises:
        PneumoError: A path is not there, or a folder has no image files.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if _is_image(p))
            if not inside:
                raise PneumoError(
                    f"{path} holds no image files; expected {', '.join(sorted(IMAGE_SUFFIXES))}."
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise PneumoError(f"{path} is not there; expected an image file or a folder. Check the path.")
    return found


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
