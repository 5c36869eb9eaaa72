"""What the shortcut scores are computed from: facts as columns of numbers, and who belongs together."""

import numpy as np

from pneumo_utils.data.audit.duplicates import find_identical, make_groups
from pneumo_utils.data.audit.marks import FILM_SIZE
from pneumo_utils.data.audit.picture import THUMBNAIL_SIZE
from pneumo_utils.data.audit.table import FilmFacts
from pneumo_utils.data.lung_field import make_lung_mask

GRID_SIZE = 16
"""Height and width, pixels, of a film in the regression; 32 gives the same figures in twice the time."""


def make_patient_groups(films: list[FilmFacts]) -> np.ndarray:
    """int (N,): equal for films of one patient (coarse key) and for films with identical pixels."""
    first, links = {}, []
    for index, film in enumerate(films):
        links.append((first.setdefault(film.file.patient, index), index))
    links += [(group[0], other) for group in find_identical(films) for other in group[1:]]
    return make_groups(len(films), links)


def make_features(films: list[FilmFacts]) -> dict[str, np.ndarray]:
    """float (N, K) for each kind of facts; sizes and bytes as logarithms."""
    pictures = [film.picture for film in films]
    modes = sorted({picture.mode for picture in pictures})
    rows = {
        "size": [(np.log(p.width), np.log(p.height)) for p in pictures],
        "aspect": [(p.width / p.height,) for p in pictures],
        "colour mode": [[p.mode == mode for mode in modes] for p in pictures],
        "file bytes": [(np.log(film.num_bytes),) for film in films],
        "compression": [(np.nan_to_num(p.quality), np.isnan(p.quality), p.is_progressive) for p in pictures],
        "mean intensity": [(p.mean,) for p in pictures],
        "marks and borders": [(len(p.marks), _covered_share(p.marks), *p.borders) for p in pictures],
    }
    return {name: np.array(values, dtype=np.float64) for name, values in rows.items()}


def _covered_share(marks) -> float:
    boxes = [mark.box for mark in marks]
    return sum((bottom - top) * (right - left) for top, left, bottom, right in boxes) / FILM_SIZE**2


def make_pixel_features(films: list[FilmFacts]) -> dict[str, np.ndarray]:
    """float (N, 256): the film as 16 x 16 pixels, with its lung fields covered and whole."""
    thumbnails = np.array([film.picture.thumbnail for film in films], dtype=np.float32)
    thumbnails = thumbnails.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)  # also where there is no film
    covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.float32(0), thumbnails)
    side = THUMBNAIL_SIZE // GRID_SIZE
    shape = (len(films), GRID_SIZE, side, GRID_SIZE, side)
    return {
        name: pixels.reshape(shape).mean((2, 4)).reshape(len(films), GRID_SIZE**2)
        for name, pixels in (("lungs covered", covered), ("whole film", thumbnails))
    }
