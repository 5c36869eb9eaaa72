"""Cards and tables: what they say of each kind of answer, and that text from outside stays text."""

import re

import pytest
from test_answer_table import make_prediction

from pneumo_utils.app.cards import DISCLAIMER, REFER, make_answer_table, make_card, name_call

RANGE = (0.2, 0.3)


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
