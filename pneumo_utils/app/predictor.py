"""Inference for one X-ray (a film): the same read, guard (OOD check) and transform as in validation."""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.grey_scale import is_as_trained
from pneumo_utils.data.images import load_film
from pneumo_utils.errors import ImageError, PneumoError, UsageError, first_line
from pneumo_utils.guard.guard import check_film
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, find_refer_range, predict_logits
from pneumo_utils.models.shipped import ShippedWeights, open_session

FRAME_OR_PALE = (
    "This model reads grey levels as the file has them, and a frame or few levels can change its answer; cut "
    "the frame off, or export the film anew."
)


@dataclass(frozen=True)
class Prediction:
    """The answer for one film."""

    path: str
    status: str  # "ok", or "rejected" for a reason, without label and probability
    label: str | None
    probability: float | None  # P(pneumonia), 0 to 1; the label is PNEUMONIA from the threshold on
    threshold: float
    refer: bool | None  # it lies in the refer band (reject option); None where rejected, or without a band
    model: str
    trained_on: str
    warnings: list[str]
    reason: str | None
    time_s: float  # wall time from bytes to answer, seconds

    def describe(self) -> str:
        """The answer in a few sentences; signs of the name that do not print are escaped."""
        name = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in self.path)
        if self.probability is None:
            return f"{name}: rejected. {self.reason}"
        side = "at or above" if self.probability >= self.threshold else "below"
        sentences = [
            f"{name}: {self.label}, P(pneumonia) = {self.probability:.3f}, {side} "
            f"the threshold {self.threshold:.3f} of {self.model}."
        ]
        if self.refer:
            sentences.append("It is too close to call: a person should decide.")
        return " ".join([*sentences, *(f"Warning: {warning}" for warning in self.warnings)])


class TorchEngine:
    """torch on the best device; `model` is the network, in evaluation mode."""

    def __init__(self, checkpoint: Checkpoint):
        from pneumo_utils.runtime import make_accelerator

        self.model = checkpoint.build_model().to(make_accelerator().device)
        self._settings: dict = {"transform": checkpoint.transform, "flip_average": checkpoint.flip_average}

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """Logits of pneumonia, float64 (B,), for uint8 (B, S, S) of the model's input size."""
        return predict_logits(self.model, films, **self._settings)


class OnnxEngine:
    """ONNX Runtime on the CPU, without torch, for a model that ships; PneumoError if it is damaged."""

    def __init__(self, checkpoint: Checkpoint):
        weights = checkpoint.state
        assert isinstance(weights, ShippedWeights)  # as `make_engine` has found
        self._transform, self._flip_average = checkpoint.transform, checkpoint.flip_average
        try:
            self._sessions = [open_session(weights.graph, member) for member in weights.list_members()]
        except Exception as error:  # a damaged file can fail in any way; the message names it
            raise PneumoError(
                f"The {checkpoint.model_name} that comes with the package cannot be run "
                f"({first_line(error)}). Install the package again."
            ) from error

    def compute_logits(self, films: np.ndarray) -> np.ndarray:
        """As `TorchEngine.compute_logits`."""
        inputs = self._transform.normalise(films[:, None].astype(np.float32) / 255)
        if self._flip_average:
            inputs = np.concatenate([inputs, inputs[..., ::-1]])
        logits = [session.run(None, {"films": inputs})[0] for session in self._sessions]
        return np.array(logits, np.float64).reshape(-1, len(films)).mean(0)


def make_engine(checkpoint: Checkpoint) -> OnnxEngine | TorchEngine:
    """ONNX Runtime for a model that ships, torch for any other."""
    if isinstance(checkpoint.state, ShippedWeights):
        return OnnxEngine(checkpoint)
    return TorchEngine(checkpoint)


@dataclass(frozen=True)
class Film:
    """What was read from one source, before a model has seen it."""

    name: str
    input: np.ndarray | None  # uint8 (S, S), squashed; None where it was rejected, for a reason
    warnings: list[str]  # of the guard, in sentences
    reason: str | None
    time_s: float


class Predictor:
    """A trained model, loaded once, that answers for any number of films.

    With `screening` it decides at the threshold that misses few pneumonias; UsageError if there is none.
    """

    def __init__(self, checkpoint: Checkpoint, *, screening: bool = False):
        threshold = checkpoint.screening_threshold if screening else checkpoint.threshold
        if threshold is None:
            raise UsageError("This checkpoint has no screening threshold; train it again, or leave it out.")
        self.checkpoint, self.threshold, self.engine = checkpoint, threshold, make_engine(checkpoint)

    @cached_property
    def model(self):
        """The network in torch, made when it is first asked for, to look inside."""
        engine = self.engine if isinstance(self.engine, TorchEngine) else TorchEngine(self.checkpoint)
        return engine.model

    def predict(self, source, *, name: str | None = None) -> Prediction:
        """Answers for one film; takes what `read` takes."""
        return self.answer([self.read(source, name=name)])[0]

    def read(self, source, *, name: str | None = None) -> Film:
        """The film as the model sees it, or why not: what cannot be read never raises. Threads may share it.

        Args:
            source: A path, the bytes of a file, or an array, as `load_image` takes them.
            name: Shown in the answer; the path if None.
        """
        started = time.perf_counter()
        name = name or (str(source) if isinstance(source, (str, Path)) else "film")
        is_phantom = self.checkpoint.source == "synthetic"
        squashed, warnings, reason = None, [], None
        try:
            film = load_film(source, **self.checkpoint.transform.reading)
            warnings = check_film(film.unsquashed, size=film.size, is_phantom=is_phantom)
            warnings = [*film.notes, *warnings]
            if self.checkpoint.transform.name == "grey" and not is_as_trained(film.unsquashed):
                warnings.append(FRAME_OR_PALE)
            squashed = film.squashed
        except ImageError as error:
            reason = str(error)
        if is_phantom and reason is None:
            warnings.append("The model learnt from SYNTHETIC phantoms; its answer says nothing about people.")
        return Film(name, squashed, warnings, reason, time.perf_counter() - started)

    def answer(self, films: list[Film]) -> list[Prediction]:
        """Answers for films that were read, in one pass of the model; one a film, in the same order."""
        started = time.perf_counter()
        readable = [film.input for film in films if film.input is not None]
        if not readable:
            return [self._decide(film, None, 0) for film in films]
        logits = self.engine.compute_logits(np.stack(readable))
        probs = iter(compute_probs(logits, self.checkpoint.temperature).tolist())
        spent = (time.perf_counter() - started) / len(readable)
        return [
            self._decide(film, None, 0) if film.reason else self._decide(film, next(probs), spent)
            for film in films
        ]

    def explain(self, film: Film) -> np.ndarray:
        """The Grad-CAM for pneumonia, float32 (S, S) of 0 to 1, of a film that was not rejected."""
        from pneumo_utils.evaluation.saliency import compute_saliency

        assert film.input is not None, "a film that was rejected has no map"
        reading: dict = {"transform": self.checkpoint.transform, "flip_average": self.checkpoint.flip_average}
        return compute_saliency(self.model, film.input[None], **reading)[0]

    def decide_at(self, prediction: Prediction, threshold: float) -> Prediction:
        """The same answer at another threshold, 0 to 1; a rejection stays one."""
        prob = prediction.probability
        if prob is None:
            return replace(prediction, threshold=threshold)
        refer_range = find_refer_range(self.checkpoint.refer_limits, threshold)
        refer = None if refer_range is None else refer_range[0] <= prob <= refer_range[1]
        label = CLASS_NAMES[int(prob >= threshold)]
        return replace(prediction, threshold=threshold, label=label, refer=refer)

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
            warnings=film.warnings,
            reason=film.reason,
            time_s=film.time_s + time_s,
        )
        return self.decide_at(prediction, self.threshold)
