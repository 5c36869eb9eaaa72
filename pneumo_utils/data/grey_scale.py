"""One grey scale for films of any origin: frames are cut off, robust percentiles become black and white.

So a pale export, a page around the film or a canvas that is too wide no longer changes what a model sees.
"""

import numpy as np
from PIL import Image

PERCENTILES = (1, 99)  # of a film's levels: what becomes black and white; letters and dead pixels lie beyond
FLAT_LEVELS = 0.04  # of the range between them: how far the pixels of a frame lie from its level at most
FLAT_SHARE = 0.95  # of the pixels of a line of the frame; the others may be a letter, or dust
NUM_SAMPLED = 128  # pixels of a line that are looked at, or a few more
# Of the 5,216 training films at 224 px each spans so many levels; few have a wider border.
FEWEST_LEVELS, MAX_FRAME = 85, 0.05
MIN_KEPT = 0.1  # of the longer side; where less would be left, nothing is cut


def standardise(grey: np.ndarray) -> np.ndarray:
    """A film, uint8 (H, W), without its frame, uint8 (h, w), on the grey scale of the preset "percentile"."""
    film, (low, high) = _cut_frame(grey)
    levels = (np.arange(256) - low) * (255 / max(high - low, 1))
    table = levels.round().clip(0, 255).astype(int).tolist()
    return np.asarray(Image.fromarray(np.ascontiguousarray(film)).point(table))


def cut_frame(grey: np.ndarray) -> np.ndarray:
    """The part of a film, uint8 (H, W), inside borders of one level: frames, pages, air; a view of it."""
    return _cut_frame(grey)[0]


def _cut_frame(grey: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    film, ends = grey, _find_ends(grey)
    # Rows, columns, and both again: they may look flat once lines of another level are gone.
    for turn in range(4):
        if turn == 2 and film.shape == grey.shape:
            break
        low, high = ends
        first, last = (_count_flat(film[::step], FLAT_LEVELS * (high - low)) for step in (1, -1))
        film = film[first : max(first, len(film) - last)].T
        if film.shape[1] < MIN_KEPT * max(grey.shape):
            return grey, _find_ends(grey)
        if first or last:
            ends = _find_ends(film)
    return film, ends


def is_as_trained(grey: np.ndarray) -> bool:
    """Whether a film has no frame and enough levels for a model of the preset "grey", which sees both."""
    low, high = _find_ends(grey)
    kept = np.array(cut_frame(grey).shape) / grey.shape
    return high - low >= FEWEST_LEVELS and kept.min() >= 1 - MAX_FRAME


def _count_flat(lines: np.ndarray, tolerance: float) -> int:
    """How many lines, from the first on, have the same level, but for a few pixels."""
    sample = lines[:, :: 1 + lines.shape[1] // NUM_SAMPLED]
    level = np.median(sample[0])
    is_film = ((np.abs(line - level) <= tolerance).mean() < FLAT_SHARE for line in sample)
    return next((place for place, differs in enumerate(is_film) if differs), len(lines))


def _find_ends(film: np.ndarray) -> tuple[int, int]:
    rows, columns = (1 + side // (4 * NUM_SAMPLED) for side in film.shape)
    shares = np.cumsum(Image.fromarray(np.ascontiguousarray(film[::rows, ::columns])).histogram())
    low, high = np.searchsorted(shares / shares[-1], np.array(PERCENTILES) / 100)
    return int(low), int(high)
