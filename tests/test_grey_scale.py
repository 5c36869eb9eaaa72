"""One grey scale: what cannot change an answer any more, and what must not be cut."""

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.grey_scale import cut_frame, standardise
from pneumo_utils.data.images import load_film, load_image
from pneumo_utils.data.synthetic import make_phantoms

FILM = make_phantoms(8, image_size=224, split="test").images[0]


def make_pale(film: np.ndarray, levels: int) -> np.ndarray:
    """The film on so many of 256 levels, in the middle of the range."""
    return (128 - levels / 2 + film * (levels / 255)).round().astype(np.uint8)


def test_percentiles_become_black_and_white():
    # 10,000 pixels of levels 50 to 149, a hundred of each: the 1st percentile is 50, the 99th 148.
    levels = np.random.default_rng(0).permutation(np.repeat(np.arange(50, 150), 100)).reshape(100, 100)
    expected = ((levels - 50) * 255 / 98).round().clip(0, 255)
    np.testing.assert_array_equal(standardise(levels.astype(np.uint8)), expected)


@pytest.mark.parametrize(("levels", "away"), [(128, 4), (64, 8)])
def test_a_pale_film_is_the_film(levels, away):
    # Of 64 levels each stands for four: a level is up to half of one off, and so is either end.
    difference = standardise(make_pale(FILM, levels)).astype(int) - standardise(FILM)
    assert np.abs(difference).max() <= away


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("margins", [((22, 22), (22, 22)), ((0, 0), (112, 112)), ((40, 0), (0, 3))])
def test_a_page_around_the_film_is_cut_off_to_the_pixel(level, margins):
    film = FILM.copy()
    film[[0, -1]], film[:, [0, -1]] = FILM[[100, 110]], FILM[:, [100, 110]]  # no edge of one level itself
    page = np.pad(film, margins, constant_values=level)
    np.testing.assert_array_equal(cut_frame(page), film)
    np.testing.assert_array_equal(standardise(page), standardise(film))


def test_a_frame_in_a_frame_is_cut_off():
    film = FILM[20:200, 20:200]
    page = np.pad(np.pad(film, 20, constant_values=255), 30, constant_values=128)
    np.testing.assert_array_equal(cut_frame(page), film)


def test_a_letter_in_the_frame_does_not_keep_it():
    page = np.pad(FILM, 40)
    page[4:14, 5:13] = 255  # 8 of 304 pixels of a line
    np.testing.assert_array_equal(cut_frame(page), cut_frame(FILM))


def test_air_that_fades_into_the_body_stays():
    film = np.tile(np.linspace(0, 255, 200), (200, 1)).astype(np.uint8)
    # 4 % of the range are 9 columns, at two sides and in two rounds.
    assert cut_frame(film).shape[1] >= 200 - 4 * 9


@pytest.mark.parametrize("film", [np.full((60, 80), 7, np.uint8), np.eye(100, dtype=np.uint8) * 255])
def test_what_would_leave_next_to_nothing_is_left_as_it_is(film):
    np.testing.assert_array_equal(cut_frame(film), film)
    assert standardise(film).shape == film.shape


def test_doing_it_twice_changes_next_to_nothing():
    once = standardise(FILM)
    assert np.abs(standardise(once).astype(int) - once).max() <= 1


def test_a_film_is_read_by_the_preset_that_is_asked_for_and_shown_as_it_is():
    page = np.pad(make_pale(FILM, 64), 30)
    film = load_film(page, image_size=64, preset="percentile")
    expected = Image.fromarray(standardise(page)).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(film.squashed, np.asarray(expected))
    np.testing.assert_array_equal(film.unsquashed, page)
    np.testing.assert_array_equal(load_image(page, preset="percentile"), standardise(page))
    np.testing.assert_array_equal(load_image(page), page)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_more_bits_give_the_same_film(bits):
    deep = (FILM.astype(np.uint16) * ((2**bits - 1) // 255)).astype(np.uint16)
    difference = load_image(deep, preset="percentile").astype(int) - standardise(FILM)
    assert np.abs(difference).max() <= 2  # of two roundings, each stretched a little


def test_real_films_lose_no_more_than_air():
    folder = ROOT.parent / "shared" / "data" / "chest_xray_224" / "train"
    paths = sorted(folder.glob("*/*.jpeg"))[::50]
    if not paths:
        pytest.skip("no real films here")
    kept = np.array([cut_frame(load_image(path)).shape for path in paths]) / 224
    assert kept.min() >= 0.7 and np.mean(kept.min(1) < 0.9) < 0.03


def test_a_set_says_how_it_was_read():
    films = make_phantoms(8, image_size=32)
    assert isinstance(films, XrayDataset) and films.preset == "grey"
