"""What the upload panel does, without its widgets: films in, answers, tables and pages out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import imagecodecs
import numpy as np
from PIL import Image

from pneumo_utils.app.cards import build_film_page, colour_saliency
from pneumo_utils.app.predictor import Film, Prediction, Predictor
from pneumo_utils.data.grey_scale import cut_frame
from pneumo_utils.data.images import load_image
from pneumo_utils.errors import UsageError
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import find_refer_range

MAX_FILMS = 100
SHOWN_SIDE = 800  # pixels, the longest side of a film as it is shown


@dataclass
class Reading:
    """One film that was handed in."""

    name: str
    source: object  # what `load_image` takes, to be asked about again; never written anywhere
    prediction: Prediction  # at the reader's threshold
    film: Film
    picture: np.ndarray | None  # uint8 (H, W), as it is shown; None where it was rejected
    saliency: np.ndarray | None = None  # float32 (S, S), 0 to 1; None until it was asked for


class FilmReader:
    """A choice of models and the films that one person has handed in.

    A model is loaded when it is first chosen, the first at the start. The last `max_films` films are kept.
    """

    def __init__(self, models: Mapping[str, Callable[[], Checkpoint]], *, max_films: int = MAX_FILMS):
        if not models:
            raise UsageError("No model was given; expected one at least.")
        self.models, self.max_films = models, max_films
        self.readings: list[Reading] = []
        self._load = cache(lambda name: Predictor(self.models[name]()))
        self.choose_model(next(iter(models)))

    @property
    def points(self) -> dict[str, float]:
        """The thresholds chosen on validation, by name: balanced and, where there is one, screening."""
        checkpoint = self.predictor.checkpoint
        points = {"balanced": checkpoint.threshold, "screening": checkpoint.screening_threshold}
        return {name: value for name, value in points.items() if value is not None}

    @property
    def refer_range(self) -> tuple[float, float] | None:
        """Probabilities that go to a person at the present threshold; None if the model has no band."""
        return find_refer_range(self.predictor.checkpoint.refer_limits, self.threshold)

    def choose_model(self, name: str) -> None:
        """Takes another model at its balanced threshold; the old one stays where it cannot be loaded."""
        self.predictor, self.model_name = self._load(name), name
        self.threshold = self.predictor.checkpoint.threshold

    def choose_threshold(self, threshold: float) -> None:
        """Decides all films anew, 0 to 1; no probability changes."""
        self.threshold = threshold
        for reading in self.readings:
            reading.prediction = self.predictor.decide_at(reading.prediction, threshold)

    def read(self, name: str, source) -> Reading:
        """Reads, answers and keeps one film, as `load_image` takes it; a rejected one is kept as well."""
        reading = self._answer(name, source)
        self.readings = [*self.readings, reading][-self.max_films :]
        return reading

    def answer_again(self) -> Iterator[Reading]:
        """Asks the model about each film again; yields each as it is done."""
        for place, reading in enumerate(self.readings):
            self.readings[place] = self._answer(reading.name, reading.source)
            yield self.readings[place]

    def explain(self, reading: Reading) -> np.ndarray | None:
        """The saliency of a film, computed once; None where it was rejected."""
        if reading.saliency is None and reading.picture is not None:
            reading.saliency = self.predictor.explain(reading.film)
        return reading.saliency

    def make_page(self, reading: Reading) -> str:
        """One film, its answer and what is known of the model as an HTML page that needs nothing else."""
        saliency = self.explain(reading)
        return build_film_page(reading.prediction, reading.picture, saliency, self.predictor.checkpoint)

    def _answer(self, name: str, source) -> Reading:
        film = self.predictor.read(source, name=name)
        prediction = self.predictor.decide_at(self.predictor.answer([film])[0], self.threshold)
        return Reading(name, source, prediction, film, None if film.reason else self._load_picture(source))

    def _load_picture(self, source) -> np.ndarray:
        """The film without the frame that the model does not see, so that a map fits it."""
        grey = load_image(source)
        if self.predictor.checkpoint.transform.name == "percentile":
            grey = np.ascontiguousarray(cut_frame(grey))
        picture = Image.fromarray(grey)
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BILINEAR)
        return np.array(picture)


def encode_film(picture: np.ndarray) -> bytes:
    """A film, uint8 (H, W), as the bytes of a JPEG file."""
    return bytes(imagecodecs.jpeg8_encode(picture, level=90))


def encode_saliency(saliency: np.ndarray) -> bytes:
    """A map, float (S, S) of 0 to 1, as the bytes of a PNG file: colour, and clear where it says nothing."""
    return bytes(imagecodecs.png_encode(colour_saliency(saliency)))
