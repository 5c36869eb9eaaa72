"""Films as pictures inside the page."""

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.audit.marks import FILM_SIZE
from pneumo_utils.data.audit.picture import THUMBNAIL_SIZE
from pneumo_utils.data.audit.table import FilmFacts
from pneumo_utils.data.image_io import load_image
from pneumo_utils.data.lung_field import make_lung_mask
from pneumo_utils.page.parts import make_image


def show_film(film: FilmFacts, caption: str, *, framed: bool = False) -> str:
    """A film of the table, squashed, its marks framed if asked for; the file is read again."""
    pixels = load_image(load_image(film.file.path), image_size=FILM_SIZE)
    return make_image(pixels, caption, boxes=[mark.box for mark in film.picture.marks if framed])


def show_mean_films(films: list[FilmFacts]) -> list[str]:
    """The mean film of each class, and the same with its lung fields covered."""
    pictures = []
    for label, name in enumerate(CLASS_NAMES):
        thumbnails = [film.picture.thumbnail for film in films if film.file.label == label]
        if thumbnails:
            mean = np.mean(thumbnails, axis=0).round().astype(np.uint8)
            covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.uint8(0), mean)
            for pixels, words in ((mean, "mean of"), (covered, "lungs covered, mean of")):
                count = f"{len(thumbnails):,} {name} film" + "s" * (len(thumbnails) > 1)
                pictures.append(make_image(load_image(pixels, image_size=FILM_SIZE), f"{words} {count}"))
    return pictures


def choose_marked(films: list[FilmFacts], label: int, count: int) -> list[FilmFacts]:
    """At most `count` films of a class that have marks, evenly picked.

    Not the clearest ones: what the rule gets wrong should show as often as it happens.
    """
    marked = [film for film in films if film.file.label == label and film.picture.marks]
    return [marked[i * len(marked) // count] for i in range(count)] if len(marked) > count else marked
