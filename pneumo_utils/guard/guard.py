"""The guard (out-of-distribution check): what can be said against an image before a model looks at it."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pneumo_utils.data.grey_scale import cut_frame
from pneumo_utils.data.images import load_film
from pneumo_utils.errors import ImageError, PneumoError, first_line
from pneumo_utils.models.shipped import load_halves, open_session

WEIGHTS = Path(__file__).parent / "weights"
INPUT_SIZE = 64
LIMITS = ("reject_below", "warn_below", "reject_unusable_below")  # in the order of `FilmKindModel`
KINDS = ("chest", "inverted", "on_side", "upside_down", "side_view", "several", "unusable", "other")

# Measured on 120 original training films of ChestXRay2017, 60 of each class, then set well outside:
# short side 568 to 2,066 px; width over height 0.93 to 1.83; at most 29 % of a film in the darkest
# levels and 1.3 % in the lightest; 150 levels or more from the 1st to the 99th percentile. The 5,216
# training films at 224 px: at most 36 % dark, 12 % light, 85 levels or more.
MIN_SHORT_SIDE = 128
ASPECT_RANGE = (0.5, 2.5)
DARK_LEVEL, LIGHT_LEVEL = 10, 245  # a pixel at or beyond these counts as black or as white
MAX_FLAT_SHARE = 0.5
MIN_GREY_RANGE = 10  # below it a film is blank
# With so many levels no answer of 249 validation films moves by more than 0.03; with 24, 1 of them by 0.1.
FEWEST_LEVELS = 32

SENTENCES = {
    "inverted": "The film looks inverted (bones dark, lungs light); invert it and upload again.",
    "on_side": "The film seems to lie on its side; turn it upright and upload again.",
    "upside_down": "The film seems to stand on its head; turn it upright and upload again.",
    "side_view": "This looks like a side view of the chest; choose the frontal film.",
    "several": "There seem to be several pictures on one film, or a small film on a page; "
    "cut out the one film and upload it alone.",
    "unusable": "The film seems too blurred, too noisy, badly exposed or only a part of a chest; "
    "choose a better picture of the whole chest.",
    "other": "This does not look like a chest film; choose a frontal chest X-ray.",
}
"""What is wrong with each kind of picture but an ordinary chest film, and what to do."""
DOUBT = "This may not be an ordinary frontal chest film, so read the answer with care."


def check_film(
    image: np.ndarray, *, size: tuple[int, int] | None = None, is_phantom: bool = False
) -> list[str]:
    """Warnings for one decoded film, in sentences; none for an ordinary one. A frame about it does not count.

    Args:
        image: uint8 (H, W), 0 black, whole or decoded smaller, before it is squashed to a square.
        size: Height and width of the whole film, pixels; those of `image` if left out.
        is_phantom: It is a drawn film of the course, so it is not asked whether it shows a chest.

    Raises:
        ImageError: The image is blank or clearly no upright frontal chest film: an answer has no basis.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 (H, W).")
    film = np.ascontiguousarray(cut_frame(image))
    sides = zip(size or image.shape, film.shape, image.shape, strict=True)
    height, width = (whole * kept // read for whole, kept, read in sides)
    shares = np.cumsum(Image.fromarray(film).histogram()) / film.size
    low, high = np.searchsorted(shares, (0.01, 0.99))
    if high - low < MIN_GREY_RANGE:
        raise ImageError(
            f"The image is blank: its grey levels span {high - low} of 255, at least {MIN_GREY_RANGE} "
            "are expected; choose another image."
        )
    warnings = _check_shape(height, width) + _check_levels(shares)
    if high - low < FEWEST_LEVELS:
        warnings.append(
            f"The image has little contrast: its grey levels span {high - low} of 255, and below "
            f"{FEWEST_LEVELS} what lies between them is lost; export it anew."
        )
    return warnings if is_phantom else warnings + _check_kind(film)


def survey_films(paths: Iterable[Path], *, folder: Path) -> dict[str, str]:
    """Warnings, or why a film is rejected or damaged, by name below a folder, for films with any."""
    films = {path.relative_to(folder).as_posix(): path for path in paths}
    with ThreadPoolExecutor() as pool:  # films are decoded outside Python's lock
        texts = pool.map(_describe, films.values())
        return {name: text for name, text in zip(films, texts, strict=True) if text}


def _describe(path: Path) -> str:
    try:
        film = load_film(path, image_size=INPUT_SIZE)
        return " ".join([*film.notes, *check_film(film.unsquashed, size=film.size)])
    except ImageError as error:
        return str(error)


def _check_shape(height: int, width: int) -> list[str]:
    warnings = []
    if min(height, width) < MIN_SHORT_SIDE:
        warnings.append(
            f"The image is only {width} x {height} pixels; below {MIN_SHORT_SIDE} on the short side "
            "fine detail of the lungs is lost."
        )
    narrowest, widest = ASPECT_RANGE
    if not narrowest <= width / height <= widest:
        warnings.append(
            f"The image is {width / height:.2f} times as wide as high; chest films are expected between "
            f"{narrowest} and {widest}, so this may be a strip or a collage."
        )
    return warnings


def _check_levels(shares: np.ndarray) -> list[str]:
    """`shares`: float (256,), the share of pixels at or below each level."""
    flat = {"black": shares[DARK_LEVEL], "white": 1 - shares[LIGHT_LEVEL - 1]}
    return [
        f"The image is {share:.0%} {name}; a chest film is mostly grey: check exposure and borders."
        for name, share in flat.items()
        if share > MAX_FLAT_SHARE
    ]


def _check_kind(image: np.ndarray) -> list[str]:
    verdict, kind = load_film_kinds().judge(image)
    if verdict == "reject":
        raise ImageError(SENTENCES[kind])
    return [f"{DOUBT} {SENTENCES[kind]}"] if verdict == "warn" else []


@dataclass(frozen=True)
class FilmKindModel:
    """A small network that tells `KINDS` of pictures apart, with its limits; see `tools/teach_guard`."""

    session: Any  # of ONNX Runtime, from views of pictures, float32 (B, 2, 64, 64), to logits, (B, K)
    reject_below: float  # the P(chest) below which a picture of another kind is rejected
    warn_below: float  # the one below which it is warned of
    reject_unusable_below: float  # the one below which nothing can be seen on an unusable film

    def predict(self, image: np.ndarray) -> np.ndarray:
        """P(kind), float32 (K,), for one picture, uint8 (H, W) of any size."""
        (logits,) = self.session.run(None, {"views": make_views(shrink(image))[None]})
        odds = np.exp(logits[0] - logits[0].max())
        return odds / odds.sum()

    def judge(self, image: np.ndarray) -> tuple[str, str]:
        """For uint8 (H, W) "accept" and "chest", or "warn" or "reject" and the likeliest other kind."""
        probs = self.predict(image)
        if probs[0] >= self.warn_below:
            return "accept", KINDS[0]
        kind = KINDS[1 + int(probs[1:].argmax())]
        limit = self.reject_unusable_below if kind == "unusable" else self.reject_below
        return "warn" if probs[0] >= limit else "reject", kind


def shrink(image: np.ndarray) -> np.ndarray:
    """The picture as the network sees it, uint8 (64, 64), for uint8 (H, W)."""
    size = (INPUT_SIZE, INPUT_SIZE)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def make_views(picture: np.ndarray) -> np.ndarray:
    """Two views, float32 (2, H, W) in -1 to 1, of uint8 (H, W), in which the exposure no longer shows.

    They are as `normalise_levels` of `tools/teach_guard` gives them in training.
    """
    up_to = np.bincount(picture.ravel(), minlength=256).cumsum()
    grey = np.arange(256, dtype=np.float32) / 255
    last = picture.size - 1
    low, high = (grey[np.searchsorted(up_to, int(share * last), side="right")] for share in (0.01, 0.99))
    stretched = np.clip((grey - low) / max(high - low, np.float32(1e-3)), 0, 1) * 2 - 1
    ranks = (up_to + np.append(0, up_to[:-1])) / picture.size - 1
    return np.stack([stretched, ranks]).astype(np.float32)[:, picture]


@lru_cache(maxsize=2)
def load_film_kinds(folder: Path = WEIGHTS) -> FilmKindModel:
    """The trained network from its three files, read once; a PneumoError where one is missing or damaged."""
    try:
        values = json.loads((folder / "film_kinds.json").read_text(encoding="utf-8"))
        if values["kinds"] != list(KINDS):
            raise ValueError(f"it knows {', '.join(values['kinds'])}")
        graph, weights = (folder / "film_kinds.onnx").read_bytes(), folder / "film_kinds.safetensors"
        session = open_session(graph, load_halves(weights), num_threads=1)  # films come from several threads
        return FilmKindModel(session, *(values[name] for name in LIMITS))
    except Exception as error:  # a damaged file can fail in any way; the message names it
        raise PneumoError(
            f"The film guard's weights cannot be read ({first_line(error)}). Install the package again."
        ) from error
