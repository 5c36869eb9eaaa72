"""One film in, one answer out: the same read, the same guard, the same transform as in training."""

import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.images import load_film
from pneumo_utils.errors import ImageError, PneumoError, UsageError, first_line
from pneumo_utils.guard.guard import check_film
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.models.shipped import ShippedWeights


@dataclass(frozen=True)
class Prediction:
    """The answer for one film.

    Attributes:
        path: What was asked about.
        status: "ok" or "rejected".
        label: A class name; None where rejected.
        probability: P(pneumonia), 0 to 1; None where rejected.
        threshold: The label is PNEUMONIA when probability >= threshold.
        refer: Whether a person should decide, since the probability lies in the refer band; None where
            rejected, or where the model has no band.
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
    refer: bool | None
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
        referred = ["It is too close to call: a person should decide."] if self.refer else []
        return " ".join([text, *referred, *(f"Warning: {warning}" for warning in self.warnings)])


class Engine(Protocol):
    """A model that is ready to answer."""

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """Logits of pneumonia, float64 (B,), for uint8 (B, S, S) of the model's input size."""


def make_engine(checkpoint: Checkpoint) -> Engine:
    """The faster engine that the checkpoint can use.

    Raises:
        PneumoError: The files of a model that ships are damaged.
    """
    if isinstance(checkpoint.state, ShippedWeights):
        return OnnxEngine(checkpoint)
    return TorchEngine(checkpoint)


class TorchEngine:
    """torch on the best device.

    Args:
        checkpoint: Any.

    Attributes:
        model: The network, in evaluation mode.
    """

    def __init__(self, checkpoint: Checkpoint):
        from pneumo_utils.runtime import make_accelerator

        self._about = checkpoint
        self.model = checkpoint.build_model().to(make_accelerator().device)

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """As `Engine.compute_logits`."""
        about = self._about
        return predict_logits(self.model, films, transform=about.transform, flip_average=about.flip_average)


class OnnxEngine:
    """ONNX Runtime on the CPU, without torch.

    Args:
        checkpoint: Of a model that ships.

    Raises:
        PneumoError: Its files are damaged.
    """

    def __init__(self, checkpoint: Checkpoint):
        from pneumo_utils.models.shipped import open_session

        self._about, weights = checkpoint, checkpoint.state
        try:
            self._sessions = [open_session(weights.graph, member) for member in weights.list_members()]
        except Exception as error:  # a damaged file can fail in any way; the message names it
            raise PneumoError(
                f"The {checkpoint.model_name} that comes with the package cannot be run "
                f"({first_line(error)}). Install the package again."
            ) from error

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """As `Engine.compute_logits`."""
        inputs = self._about.transform.normalise(films[:, None].astype(np.float32) / 255)
        if self._about.flip_average:
            inputs = np.concatenate([inputs, inputs[..., ::-1]])
        logits = [session.run(None, {"films": inputs})[0] for session in self._sessions]
        return np.array(logits, np.float64).reshape(-1, len(films)).mean(0)


@dataclass(frozen=True)
class Film:
    """What was read from one source, before a model has seen it.

    Attributes:
        name: Shown in the answer.
        input: uint8 (S, S), squashed to the model's input size; None where it was rejected.
        warnings: What the guard has to say, in sentences.
        reason: Why it was rejected; None otherwise.
        time_s: Wall time of the reading, seconds.
    """

    name: str
    input: np.ndarray | None
    warnings: list[str]
    reason: str | None
    time_s: float


class Predictor:
    """A trained model, loaded once, that answers for any number of films; one that ships needs no torch.

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
        self.engine = make_engine(checkpoint)

    @cached_property
    def model(self):
        """The network in torch, made when it is first asked for, to look inside."""
        is_torch = isinstance(self.engine, TorchEngine)
        return (self.engine if is_torch else TorchEngine(self.checkpoint)).model

    def predict(self, source, *, name: str | None = None) -> Prediction:
        """Answers for one film; what cannot be read is rejected with the reason, never raised.

        Args:
            source: A path, the bytes of a file, or an array, as `load_image` takes them.
            name: Shown in the answer; the path if None.

        Returns:
            The prediction.
        """
        return self.answer([self.read(source, name=name)])[0]

    def read(self, source, *, name: str | None = None) -> Film:
        """The film as the model sees it, or why not; may run in a thread of its own.

        Args:
            source: As for `predict`.
            name: As for `predict`.

        Returns:
            The film; what cannot be read has a reason and no input.
        """
        started = time.perf_counter()
        name = name or (str(source) if isinstance(source, (str, Path)) else "film")
        is_phantom = self.checkpoint.source == "synthetic"
        squashed, warnings, reason = None, [], None
        try:
            film = load_film(source, image_size=self.checkpoint.transform.image_size)
            warnings = check_film(film.unsquashed, size=film.size, is_phantom=is_phantom)
            squashed = film.squashed
        except ImageError as error:
            reason = str(error)
        if is_phantom and reason is None:
            warnings.append("The model learnt from SYNTHETIC phantoms; its answer says nothing about people.")
        return Film(name, squashed, warnings, reason, time.perf_counter() - started)

    def answer(self, films: list[Film]) -> list[Prediction]:
        """Answers for films that were read, in one pass of the model.

        Args:
            films: From `read`.

        Returns:
            One prediction a film, in the same order.
        """
        started = time.perf_counter()
        inputs = [film.input for film in films if film.reason is None]
        probs = iter(self._compute_probs(np.stack(inputs)) if inputs else ())
        spent = (time.perf_counter() - started) / max(1, len(inputs))
        return [self._decide(film, None if film.reason else float(next(probs)), spent) for film in films]

    def explain(self, film: Film) -> np.ndarray:
        """Where in a film something speaks for pneumonia: its Grad-CAM, as the model answers.

        Args:
            film: From `read`, not rejected.

        Returns:
            float32 (S, S), 0 to 1; see `compute_saliency`.
        """
        from pneumo_utils.evaluation.saliency import compute_saliency

        about = self.checkpoint
        return compute_saliency(
            self.model, film.input[None], transform=about.transform, flip_average=about.flip_average
        )[0]

    def decide_at(self, prediction: Prediction, threshold: float) -> Prediction:
        """The same answer at another threshold; a rejection stays one.

        Args:
            prediction: From `predict` or `answer`.
            threshold: Call it pneumonia when probability >= threshold, 0 to 1.
        """
        if prediction.probability is None:
            return replace(prediction, threshold=threshold)
        label = CLASS_NAMES[int(prediction.probability >= threshold)]
        refer = self._must_refer(prediction.probability, threshold)
        return replace(prediction, threshold=threshold, label=label, refer=refer)

    def _compute_probs(self, inputs: np.ndarray) -> np.ndarray:
        return compute_probs(self.engine.compute_logits(inputs), self.checkpoint.temperature)

    def _decide(self, film: Film, prob: float | None, time_s: float) -> Prediction:
        prediction = Prediction(
            path=film.name,
            status="ok" if film.reason is None else "rejected",
            label=None,
            probability=prob,
            threshold=self.threshold,
            refer=None,
            model=self.checkpoint.model_name,
            trained_on=self.checkpoint.source,
            warnings=[] if film.reason else film.warnings,
            reason=film.reason,
            time_s=film.time_s + (0 if film.reason else time_s),
        )
        return self.decide_at(prediction, self.threshold)

    def _must_refer(self, prob: float, threshold: float) -> bool | None:
        if self.checkpoint.refer_limits is None:
            return None
        low, high = find_refer_range(self.checkpoint.refer_limits, threshold)
        return bool(low <= prob <= high)


def find_refer_range(limits: tuple[float, float], threshold: float) -> tuple[float, float]:
    """From which probability to which a film goes to a person, if a threshold names the class otherwise.

    Outside of it the set is one class, and the same that the threshold names. The threshold counts because it
    was chosen by another rule: between it and the band, the set is one class and the threshold names the
    other. Fewer films are answered than by the sets alone, so their promise holds.

    Args:
        limits: Of a `ReferBand`, as a checkpoint has them.
        threshold: Call it pneumonia when prob >= threshold, 0 to 1.

    Returns:
        The lowest and the highest probability that is referred, both included.
    """
    ends = (limits[0], 1 - limits[1], threshold)
    return min(ends), max(ends)
