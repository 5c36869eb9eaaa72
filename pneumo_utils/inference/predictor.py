"""One film in, one answer out: the same read, the same guard, the same transform as in training."""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.image_io import load_film
from pneumo_utils.errors import ImageError, UsageError
from pneumo_utils.inference.guard import check_film
from pneumo_utils.inference.prediction import Prediction
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.engine import TorchEngine, make_engine
from pneumo_utils.models.predict import compute_probs
from pneumo_utils.training.refer_band import find_refer_range


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
        from pneumo_utils.evaluation.explain import compute_saliency

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
