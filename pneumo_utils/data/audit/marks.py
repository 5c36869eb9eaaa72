"""Letters, metal and empty borders: what stands on a film and is no part of the patient."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FILM_SIZE = 224
"""Height and width, pixels, of the squashed film on which marks are looked for."""
OPENING = 9  # pixels; strokes narrower than this stand out from their surroundings
MIN_STEP = 45  # grey levels that a mark is brighter than its surroundings
MIN_SHARPNESS = 40.0  # grey levels per pixel; ribs and collar bones stay below
HEIGHTS, WIDTHS = (4, 40), (2, 40)  # pixels
MIN_AREA = 8  # pixels
MAX_DEPTH = 0.25  # of the film, from the nearest edge to the middle of a mark
FLAT_RANGE = 16  # grey levels between the darkest and the lightest pixel of an empty line


@dataclass(frozen=True)
class Mark:
    """One bright, sharp-edged thing near the edge of a film.

    Attributes:
        box: Top, left, bottom, right on the squashed film, pixels; the last two are outside.
        sharpness: Mean steepness of its rim, grey levels per pixel.
    """

    box: tuple[int, int, int, int]
    sharpness: float


def find_marks(film: np.ndarray) -> tuple[Mark, ...]:
    """Looks for burned-in letters: small, brighter than what surrounds them, and sharp at the rim.

    Sharpness tells letters from bones, whose edges are soft. Metal has sharp edges too. Judged by eye on
    ChestXRay2017: of 240 marks on 300 films about 195 (four in five) were letters or digits, most others
    fasteners, electrodes and tubes, a few the edge of a bone or of the film. Of 60 films without a mark
    more than half did carry a letter: small, faint or touching bright tissue. So a film with a mark has
    probably something on it, a film without one need not be clean, and a difference between classes may
    be one of size and sharpness.

    Args:
        film: uint8 (224, 224), squashed.

    Returns:
        From top to bottom; empty where nothing was found.
    """
    levels = film.astype(np.float32)
    # Erosion, then dilation: the film without whatever is narrower than the square.
    surroundings = ndimage.maximum_filter(ndimage.minimum_filter(film, OPENING), OPENING)
    parts, _ = ndimage.label(levels - surroundings > MIN_STEP, structure=np.ones((3, 3)))
    steepness = np.hypot(*np.gradient(levels))
    marks = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
        box = (rows.start, columns.start, rows.stop, columns.stop)
        if _could_be_letter(box, size=len(film)):
            around = np.s_[max(0, box[0] - 2) : box[2] + 2, max(0, box[1] - 2) : box[3] + 2]
            shape = parts[around] == number
            sharpness = float(steepness[around][_make_rim(shape)].mean())
            if shape.sum() >= MIN_AREA and sharpness >= MIN_SHARPNESS:
                marks.append(Mark(box, sharpness))
    return tuple(marks)


def _could_be_letter(box: tuple[int, int, int, int], *, size: int) -> bool:
    top, left, bottom, right = box
    middle_y, middle_x = (top + bottom) / 2 / size, (left + right) / 2 / size
    is_outside = min(middle_y, middle_x, 1 - middle_y, 1 - middle_x) <= MAX_DEPTH
    is_small = HEIGHTS[0] <= bottom - top <= HEIGHTS[1] and WIDTHS[0] <= right - left <= WIDTHS[1]
    return is_outside and is_small


def _make_rim(shape: np.ndarray) -> np.ndarray:
    """The pixels on either side of the outline."""
    return ndimage.binary_dilation(shape) & ~ndimage.binary_erosion(shape)


def measure_borders(film: np.ndarray) -> tuple[float, float, float, float]:
    """How deep an empty border is at the top, left, bottom and right.

    A line is empty when its grey levels differ by at most 16, whatever the level: black, white or grey.

    Args:
        film: uint8 (H, W).

    Returns:
        Shares of height or width, 0 (no border) to 1 (the film is empty).
    """
    rows, columns = (np.ptp(film, axis=axis) <= FLAT_RANGE for axis in (1, 0))
    return tuple(_leading_share(lines) for lines in (rows, columns, rows[::-1], columns[::-1]))


def _leading_share(empty: np.ndarray) -> float:
    return float(np.argmin(empty) / len(empty)) if not empty.all() else 1.0
