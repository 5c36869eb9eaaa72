"""Answers as HTML: what cards, tables and pages say, that text from outside stays text, and the blend."""

import re

import numpy as np
import pytest
from conftest import make_checkpoint, make_prediction
from matplotlib import colormaps

from pneumo_utils.app.cards import (
    DISCLAIMER,
    REFER,
    blend,
    build_film_page,
    make_answer_table,
    make_card,
    name_call,
)

RANGE = (0.2, 0.3)
CHECKPOINT = make_checkpoint(refer_limits=(0.6, 0.7), screening_threshold=0.2, val_metrics={"auroc": 0.9876})


def read_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize(
    ("prob", "side", "call"), [(0.75, "at or above", "PNEUMONIA"), (0.1, "below", "NORMAL")]
)
def test_a_card_says_probability_threshold_and_call(prob, side, call):
    text = read_text(make_card(make_prediction("a.png", prob=prob), refer_range=RANGE))
    assert f"a probability of {prob:.1%} , {side} the threshold of 25.0%: it calls this film {call}." in text
    assert text.startswith(f"a.png {call} ") and text.endswith(f"Read and answered in 500 ms. {DISCLAIMER}")
    assert "learnt from somewhere" in text and "a person should decide" not in text


def test_a_film_in_the_band_is_for_a_person():
    prediction = make_prediction("a.png", prob=0.28, refer=True)
    text = read_text(make_card(prediction, refer_range=RANGE))
    assert text.startswith(f"a.png {REFER}") and "between 20.0% and 30.0%" in text
    assert name_call(prediction) == REFER


def test_the_bar_shows_probability_threshold_and_band():
    card = make_card(make_prediction("a.png", prob=0.75), refer_range=RANGE)
    assert 'class="fill" style="width: 75.0%' in card
    assert 'class="line" style="left: 25.0%"' in card
    assert 'class="band" style="left: 20.0%; width: 10.0%"' in card
    assert "band" not in make_card(make_prediction("a.png", refer=None), refer_range=None)


def test_a_rejected_film_has_its_reason_and_no_number():
    prediction = make_prediction("a.png", prob=None, refer=None, reason="The file is empty.")
    text = read_text(make_card(prediction, refer_range=RANGE))
    assert text.startswith("a.png Rejected The file is empty.") and "%" not in text


def test_warnings_are_listed():
    text = read_text(make_card(make_prediction("a.png", warnings=["Small.", "Dark."]), refer_range=RANGE))
    assert "Read this with care: Small. Dark." in text


def test_the_table_has_a_numbered_row_a_film():
    table = make_answer_table(
        [
            make_prediction("a.png", warnings=["Small."]),
            make_prediction("b.png", prob=0.28, refer=True),
            make_prediction("c.png", prob=None, refer=None, reason="Empty."),
        ]
    )
    rows = [read_text(row) for row in table.split("<tr>")[2:]]
    assert rows == ["1. a.png 75.0% PNEUMONIA Small.", f"2. b.png 28.0% {REFER}", "3. c.png Rejected Empty."]


def test_text_from_outside_is_text():
    bad = '<script>alert("x")</script>'
    prediction = make_prediction(bad, warnings=[bad], model=bad, trained_on=bad)
    rejected = make_prediction(bad, prob=None, refer=None, reason=bad)
    for html in (make_card(prediction, refer_range=RANGE), make_answer_table([prediction, rejected])):
        assert "<script" not in html and "&lt;script&gt;" in html
    assert "<script" not in make_card(rejected, refer_range=RANGE)


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
