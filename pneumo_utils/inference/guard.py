"""What can be said against an image before a model looks at it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pneumo_utils.data.image_io import load_image
from pneumo_utils.errors import ImageError

# Measured on 120 original training films of ChestXRay2017, 60 of each class, then set well outside:
# short side 568 to 2,066 px; width over height 0.93 to 1.83; at most 29 % of a film in the darkest
# levels and 1.3 % in the lightest; 150 levels or more from the 1st to the 99th percentile. The 5,216
# training films at 224 px: at most 36 % dark, 12 % light, 85 levels or more.
MIN_SHORT_SIDE = 128
ASPECT_RANGE = (0.5, 2.5)
DARK_LEVEL, LIGHT_LEVEL = 10, 245  # a pixel at or beyond these counts as black or as white
MAX_FLAT_SHARE = 0.5
MIN_GREY_RANGE = 10


def check_film(image: np.ndarray) -> list[str]:
    """Warnings for one decoded film; none for an ordinary one.

    It looks at size, shape and grey levels only. It does not know whether the picture is a chest film at
    all: a photograph of a cat passes, and a model will give it a probability all the same.

    Args:
        image: uint8 (H, W) as decoded, before it is squashed to a square: a square hides the aspect and
            the true size. 0 is black and 255 white.

    Returns:
        Plain sentences, in a fixed order; empty when nothing was found.

    Raises:
        ImageError: The image is blank, so an answer would have no basis.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 (H, W).")
    low, high = np.percentile(image, (1, 99))
    if high - low < MIN_GREY_RANGE:
        raise ImageError(
            f"The image is blank: its grey levels span {high - low:.0f} of 255, at least {MIN_GREY_RANGE} "
            "are expected; choose another image."
        )
    return _check_shape(*image.shape) + _check_levels(image)


def survey_films(paths: Iterable[Path], *, folder: Path) -> dict[str, str]:
    """What the guard has to say of films that were not made for this course.

    Args:
        paths: Image files below `folder`, each read in full size.
        folder: What their names in the answer are relative to.

    Returns:
        The sentences by the file's name, `NORMAL/1.png`, for those films only that differ from the training
        films; a blank or damaged one has its reason there.
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


def _check_levels(image: np.ndarray) -> list[str]:
    shares = {"black": (image <= DARK_LEVEL).mean(), "white": (image >= LIGHT_LEVEL).mean()}
    return [
        f"The image is {share:.0%} {name}; a chest film is mostly grey: check exposure and borders."
        for name, share in shares.items()
        if share > MAX_FLAT_SHARE
    ]
