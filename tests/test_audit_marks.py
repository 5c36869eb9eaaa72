"""Burned-in letters and empty borders, drawn where the test knows them to be."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from pneumo_utils.audit.facts import find_marks, measure_borders


def make_chest() -> np.ndarray:
    """Soft bright bands on grey, as ribs are, with a little grain; uint8 (224, 224)."""
    y, x = np.mgrid[:224, :224]
    bands = 100 + 60 * np.sin((y + 0.3 * np.abs(x - 112)) / 6)
    return gaussian_filter(bands + np.random.default_rng(0).normal(0, 2, bands.shape), 1).astype(np.uint8)


def draw_letter(film: np.ndarray, x: int, y: int, *, height: int = 20, level: int = 250) -> np.ndarray:
    picture = Image.fromarray(film)
    ImageDraw.Draw(picture).text((x, y), "R", fill=level, font=ImageFont.load_default(height))
    return np.array(picture)


def test_ribs_are_no_marks():
    assert find_marks(make_chest()) == ()


@pytest.mark.parametrize("height", [12, 20, 32])
@pytest.mark.parametrize(("x", "y"), [(8, 10), (190, 10), (8, 180), (190, 120)])
def test_a_letter_near_the_edge_is_found_where_it_stands(x, y, height):
    plain = make_chest() // 2
    film = draw_letter(plain, x, y, height=height)
    rows, columns = np.nonzero(film != plain)
    (mark,) = find_marks(film)
    top, left, bottom, right = mark.box
    expected = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    assert np.abs(np.subtract((top, left, bottom, right), expected)).max() <= 2
    assert mark.sharpness >= 40


def test_a_letter_in_the_middle_is_left_alone():
    assert find_marks(draw_letter(make_chest() // 2, 105, 100)) == ()


def test_a_faint_letter_is_missed():
    film = np.full((224, 224), 60, np.uint8)
    assert find_marks(draw_letter(film, 10, 10, level=90)) == ()
    assert len(find_marks(draw_letter(film, 10, 10, level=250))) == 1


def test_large_things_are_no_letters():
    film = np.full((224, 224), 60, np.uint8)
    film[5:8, 5:120] = 250  # a bar of 115 pixels
    film[60:140, 5:60] = 250  # a plate
    assert find_marks(film) == ()


def test_an_empty_film_has_no_marks():
    assert find_marks(np.zeros((224, 224), np.uint8)) == ()


def test_borders_are_measured_on_each_side():
    film = np.random.default_rng(0).integers(60, 200, (100, 200), dtype=np.uint8)
    film[:7], film[-3:], film[:, :10], film[:, -20:] = 0, 255, 90, 0
    # The corners mix levels: a row of the top border meets the grey left one, so it is not empty.
    assert measure_borders(film)[0] == 0
    film[:, :10] = 0
    film[:7], film[-3:] = 0, 0
    assert measure_borders(film) == pytest.approx((7 / 100, 10 / 200, 3 / 100, 20 / 200))


def test_a_film_without_a_border_and_one_that_is_nothing_else():
    film = np.random.default_rng(0).integers(60, 200, (50, 50), dtype=np.uint8)
    assert measure_borders(film) == (0, 0, 0, 0)
    assert measure_borders(np.full((50, 50), 7, np.uint8)) == (1, 1, 1, 1)
    faint = np.full((50, 50), 7, np.uint8)
    faint[:, ::2] += 16  # within the range that compression leaves on an empty line
    assert measure_borders(faint)[0] == 1
    faint[:, 0] = 7 + 17
    assert measure_borders(faint)[0] == 0
