"""Films made wider, narrower, taller and flatter, and what a model's ranking loses by it."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.robustness import STRETCH, compute_stretch_losses, stretch_films


def make_square(side: int, *, size: int = 120) -> np.ndarray:
    """White on black, in the middle of one film, uint8 (1, S, S)."""
    film = np.zeros((1, size, size), np.uint8)
    edge = (size - side) // 2
    film[0, edge : size - edge, edge : size - edge] = 255
    return film


def measure(film: np.ndarray) -> tuple[int, int]:
    """Width and height of what is white, pixels, once it is checked that it is a rectangle in the middle."""
    inside = film >= 128
    columns, rows = inside.any(0), inside.any(1)
    assert np.array_equal(inside, rows[:, None] & columns[None])
    assert np.array_equal(columns, columns[::-1]) and np.array_equal(rows, rows[::-1])
    return int(columns.sum()), int(rows.sum())


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ({}, (60, 60)),
        ({"width": 1.2}, (72, 60)),
        ({"width": 1 / 1.2}, (50, 60)),
        ({"height": 1.2}, (60, 72)),
        ({"height": 1 / 1.2}, (60, 50)),
        ({"width": 1.5, "height": 0.5}, (90, 30)),
    ],
)
def test_a_square_of_60_pixels_grows_by_the_factor_about_the_centre(factor, expected):
    assert measure(stretch_films(make_square(60), **factor)[0]) == expected


def test_a_factor_of_one_changes_no_pixel():
    films = np.random.default_rng(0).integers(0, 256, (300, 16, 16), dtype=np.uint8)  # more than one batch
    assert np.array_equal(stretch_films(films), films)


def test_each_film_is_stretched_on_its_own_and_in_its_place():
    films = np.random.default_rng(0).integers(0, 256, (300, 16, 16), dtype=np.uint8)
    together = stretch_films(films, width=1.2)
    for index in (0, 255, 256, 299):
        assert np.array_equal(together[index], stretch_films(films[index : index + 1], width=1.2)[0])


def test_what_grows_beyond_the_frame_is_cut_off_and_what_is_left_free_takes_the_edge():
    film = np.full((1, 60, 60), 50, np.uint8)
    film[0, :, :6], film[0, :, 54:] = 200, 150  # strips of 6 pixels at the left and at the right
    narrow = stretch_films(film, width=0.5)[0]
    # Half of the width is left free, 15 pixels a side, beside the strips' own 3.
    assert (narrow[:, :17] == 200).all() and (narrow[:, 43:] == 150).all()
    assert (narrow[:, 19:41] == 50).all()
    wide = stretch_films(film, width=1.5)[0]  # 10 of the film's 60 pixels are lost at each side
    assert (wide == 50).all()


def test_the_films_that_are_handed_over_stay_as_they_are():
    films = make_square(60)
    stretch_films(films, width=1.2, height=0.8)
    assert np.array_equal(films, make_square(60))


@pytest.fixture(scope="module")
def squares():
    """Films of squares: 40 px where it is normal, and for pneumonia 44, 48 and 60 px."""
    sides = [40, 40, 40, 44, 48, 60]
    names = np.array([f"f{i}" for i in range(6)])
    images = np.concatenate([make_square(side) for side in sides])
    return XrayDataset(images, np.array([0, 0, 0, 1, 1, 1]), names, names, names, "synthetic", "test")


def test_a_model_that_looks_at_neither_side_loses_nothing(squares):
    losses = compute_stretch_losses(lambda films: np.arange(6.0), squares)
    assert losses == {"wider": 0, "narrower": 0, "taller": 0, "flatter": 0}


def test_the_losses_are_those_of_the_stretched_films(squares):
    """A score that is highest for squares of 48 pixels' width and knows no height."""

    def predict(films):
        return np.array([-abs(measure(film)[0] - 48.0) for film in films.images])

    losses = compute_stretch_losses(predict, squares)
    # As they are: normal -8 three times; pneumonia -4, 0 and -12. Two of three are above all normal ones,
    # one below all: AUROC 2/3. Wider: normal 48, score 0; pneumonia about 53, 58 and 72, all below: 0.
    # Narrower: normal about 33, score -15; pneumonia about 37, 40 and 50, scores -11, -8 and -2: 1.
    assert losses["wider"] == pytest.approx(2 / 3 - 0)
    assert losses["narrower"] == pytest.approx(2 / 3 - 1)
    assert losses["taller"] == losses["flatter"] == 0


def test_the_factor_is_the_one_that_is_asked_for(squares):
    seen = []

    def predict(films):
        seen.append(measure(films.images[5]))
        return np.arange(6.0)

    compute_stretch_losses(predict, squares)
    assert STRETCH == 1.2 and seen == [(60, 60), (72, 60), (50, 60), (60, 72), (60, 50)]
    seen.clear()
    compute_stretch_losses(predict, squares, stretch=1.5)
    assert seen == [(60, 60), (90, 60), (40, 60), (60, 90), (60, 40)]


def test_all_that_is_known_of_the_films_is_handed_on():
    phantoms = make_phantoms(8, image_size=32)

    def predict(films):
        assert replace(films, images=phantoms.images).fingerprint() == phantoms.fingerprint()
        return films.images.mean((1, 2))

    losses = compute_stretch_losses(predict, phantoms)
    expected = roc_auc_score(phantoms.labels, phantoms.images.mean((1, 2)))
    expected -= roc_auc_score(phantoms.labels, stretch_films(phantoms.images, height=1.2).mean((1, 2)))
    assert losses["taller"] == pytest.approx(expected)


def test_without_both_classes_there_is_no_loss(squares):
    predict = pytest.fail  # is not even asked
    assert compute_stretch_losses(predict, squares.select(squares.labels == 1)) is None
