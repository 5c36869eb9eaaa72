"""The page of one film: everything inside it, nothing from outside; the film under its map."""

import re

import numpy as np
import pytest
from conftest import make_checkpoint
from matplotlib import colormaps
from test_answer_table import make_prediction

from pneumo_utils.app.cards import blend, build_film_page

CHECKPOINT = make_checkpoint(refer_limits=(0.6, 0.7), screening_threshold=0.2, val_metrics={"auroc": 0.9876})


def test_the_page_has_answer_film_and_model_inside_it():
    picture, saliency = np.full((60, 80), 100, np.uint8), np.ones((8, 8), np.float32)
    page = build_film_page(make_prediction("a<b>.png"), picture, saliency, CHECKPOINT)
    assert page.count("data:image/jpeg;base64,") == 2
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    for text in ("75.0%", "a&lt;b&gt;.png", "0.988", "0.300 to 0.600", "0.200", "not for diagnosis"):
        assert text in page, text


def test_the_band_on_the_page_is_that_at_the_threshold_of_the_answer():
    page = build_film_page(
        make_prediction("a", threshold=0.1), np.zeros((9, 9), np.uint8), np.zeros((2, 2)), CHECKPOINT
    )
    assert 'class="band" style="left: 10.0%; width: 50.0%"' in page  # from the threshold to 0.6


def test_a_rejected_film_has_a_page_without_pictures():
    prediction = make_prediction("a.png", prob=None, refer=None, reason="The file is empty.")
    page = build_film_page(prediction, None, None, CHECKPOINT)
    assert "The file is empty." in page and "<img" not in page


@pytest.mark.parametrize("opacity", [0.0, 0.6, 1.0])
def test_the_blend_is_film_and_colour_in_their_shares(opacity):
    picture = np.full((40, 60), 200, np.uint8)
    saliency = np.full((4, 4), 0.5, np.float32)
    # Opacity times the map of 0.5 is the colour's share; the rest is the film's grey.
    share, colour = opacity * 0.5, 255 * np.array(colormaps["viridis"](0.5)[:3])
    expected = share * colour + (1 - share) * 200
    np.testing.assert_allclose(blend(picture, saliency, opacity=opacity)[20, 30], expected, atol=2)


def test_where_the_map_is_zero_the_film_is_as_it_was():
    picture = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    np.testing.assert_array_equal(blend(picture, np.zeros((4, 4)))[..., 1], picture)
