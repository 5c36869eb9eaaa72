"""Where the lungs lie in a squashed film, roughly: the same two ellipses in all films."""

import math

import numpy as np

CENTRE = (0.285, 0.49)
"""x and y of the ellipse at the left of the picture, as shares of width and height."""
HALF_AXES = (0.18, 0.40)
"""Half of the width and half of the height of the upright ellipse, as shares."""
TILT_DEG = 12.0
"""How far the top of each ellipse leans towards the spine."""


def make_lung_mask(size: int) -> np.ndarray:
    """Two leaning ellipses that cover the lung fields of most frontal films squashed to a square.

    They were drawn by hand over the mean of 5,840 films of ChestXRay2017 and looked at over 32 single
    films: generous at the flanks and towards the heart, short of the deepest corners behind the
    diaphragm. They know nothing of the single film: where a child lies askew or was cropped, lung stays
    outside. So what is read outside them is not proof of a shortcut, only a strong hint.

    Args:
        size: S, height and width of the film, pixels, 1 or more.

    Returns:
        bool (S, S), True inside a lung field; mirror-symmetric, about 45 % of the film.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, 1 or more.")
    line = (np.arange(size) + 0.5) / size
    x = np.minimum(line, 1 - line)[None, :] - CENTRE[0]  # folded at the middle: one ellipse does for both
    y = line[:, None] - CENTRE[1]
    cos, sin = math.cos(math.radians(TILT_DEG)), math.sin(math.radians(TILT_DEG))
    across, along = x * cos + y * sin, y * cos - x * sin
    return (across / HALF_AXES[0]) ** 2 + (along / HALF_AXES[1]) ** 2 <= 1
