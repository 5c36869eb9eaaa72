"""What can be said against an image before a model looks at it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from pneumo_utils.data.image_io import load_image
from pneumo_utils.errors import ImageError
from pneumo_utils.inference.film_kinds import load_film_kinds

# Measured on 120 original training films of ChestXRay2017, 60 of each class, then set well outside:
# short side 568 to 2,066 px; width over height 0.93 to 1.83; at most 29 % of a film in the darkest
# levels and 1.3 % in the lightest; 150 levels or more from the 1st to the 99th percentile. The 5,216
# training films at 224 px: at most 36 % dark, 12 % light, 85 levels or more.
MIN_SHORT_SIDE = 128
ASPECT_RANGE = (0.5, 2.5)
DARK_LEVEL, LIGHT_LEVEL = 10, 245  # a pixel at or beyond these counts as black or as white
MAX_FLAT_SHARE = 0.5
MIN_GREY_RANGE = 10

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
    """Warnings for one decoded film; none for an ordinary one.

    Args:
        image: uint8 (H, W), whole or decoded smaller, before it is squashed to a square. 0 is black and 255
            white.
        size: Height and width of the whole film, pixels; those of `image` if left out.
        is_phantom: It is a drawn film of the course, so it is not asked whether it shows a chest.

    Returns:
        Plain sentences, in a fixed order; empty when nothing was found.

    Raises:
        ImageError: The image is blank or clearly no upright frontal chest film, so an answer would have
            no basis.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 (H, W).")
    shares = np.cumsum(Image.fromarray(image).histogram()) / image.size
    low, high = np.searchsorted(shares, (0.01, 0.99))
    if high - low < MIN_GREY_RANGE:
        raise ImageError(
            f"The image is blank: its grey levels span {high - low} of 255, at least {MIN_GREY_RANGE} "
            "are expected; choose another image."
        )
    warnings = _check_shape(*(size or image.shape)) + _check_levels(shares)
    return warnings if is_phantom else warnings + _check_kind(image)


def survey_films(paths: Iterable[Path], *, folder: Path) -> dict[str, str]:
    """What the guard has to say of films that were not made for this course.

    Args:
        paths: Image files below `folder`, each read in full size.
        folder: What their names in the answer are relative to.

    Returns:
        The sentences by the file's name, `NORMAL/1.png`, for those films only that differ from the training
        films; one that is rejected or damaged has its reason there.
    """
    paths = list(paths)
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        found = pool.map(_describe, paths)
        named = zip((path.relative_to(folder).as_posix() for path in paths), found, strict=True)
        return {name: text for name, text in named if text}


def _describe(path: Path) -> str:
    try:
        return " ".join(check_film(load_image(path)))
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
