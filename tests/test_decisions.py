"""What a refer band does, and the slider of thresholds."""

import json

import numpy as np
import pytest
from simulated import simulate

from pneumo_utils.evaluation.decisions import (
    build_threshold_explorer,
    describe_threshold,
    judge_refer_band,
)
from pneumo_utils.evaluation.metrics import Predictions, compute_interval, draw_patient_weights
from pneumo_utils.training.thresholds import ReferBand, fit_refer_band, predict_sets


def make_predictions(labels, probs, patients=None):
    names = np.arange(len(labels)).astype(str)
    return Predictions(np.array(labels), np.array(probs), names if patients is None else patients, names)


def test_the_judgement_worked_out_by_hand():
    band = ReferBand(0.05, (0.6, 0.7))  # NORMAL up to 0.6, PNEUMONIA from 0.3 on
    # {N} right, {N} wrong, both, both, {P} right, {P} wrong
    films = make_predictions([0, 1, 0, 1, 1, 0], [0.1, 0.2, 0.4, 0.5, 0.9, 0.8])
    got = judge_refer_band(band, films, num_draws=100)
    expected = {
        "coverage": 4 / 6,
        "share_referred": 2 / 6,
        "error_among_answered": 2 / 4,
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    assert got["alpha"] == 0.05 and set(got["intervals"]) == set(expected)
    json.dumps(got, allow_nan=False)


def test_intervals_are_those_of_films_drawn_by_patient():
    films = simulate(80, seed=1, max_films=3)
    fitted = simulate(200, seed=2)
    band = fit_refer_band(fitted.labels, fitted.probs, alpha=0.1)
    got = judge_refer_band(band, films, num_draws=60)["intervals"]["error_among_answered"]
    errors = []
    for counts in draw_patient_weights(films.patients, num_draws=60):
        index = np.repeat(np.arange(len(films)), counts.astype(int))
        sets = predict_sets(band, films.probs[index])
        single = sets.sum(1) == 1
        errors.append(np.mean(sets[single].argmax(1) != films.labels[index][single]))
    assert got == pytest.approx(compute_interval(np.array(errors)), abs=1e-9)


def test_where_all_are_referred_there_is_no_error_to_report():
    films = make_predictions([0, 1], [0.4, 0.6])
    got = judge_refer_band(ReferBand(0.05, (1.0, 1.0)), films, num_draws=20)
    assert got["share_referred"] == 1 and got["error_among_answered"] is None
    assert got["intervals"]["error_among_answered"] == (None, None)


def test_one_patient_gives_no_interval():
    films = make_predictions([0, 1], [0.1, 0.9], patients=np.array(["p", "p"]))
    got = judge_refer_band(ReferBand(0.05, (0.6, 0.6)), films, num_draws=20)
    assert got["coverage"] == 1 and got["intervals"]["coverage"] == (None, None)


NAMES = np.array(list("abcde"))
PREDICTIONS = Predictions(np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.3, 0.7, 0.9]), NAMES, NAMES)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, "At 0.000 it finds 3 of 3 with pneumonia, misses 0; alarms on 2 of 2 without; 60.0% right."),
        (0.5, "At 0.500 it finds 2 of 3 with pneumonia, misses 1; alarms on 1 of 2 without; 60.0% right."),
        (0.65, "At 0.650 it finds 2 of 3 with pneumonia, misses 1; alarms on 0 of 2 without; 80.0% right."),
        (1.0, "At 1.000 it finds 0 of 3 with pneumonia, misses 3; alarms on 0 of 2 without; 40.0% right."),
    ],
)
def test_a_threshold_in_words(threshold, expected):
    assert describe_threshold(PREDICTIONS, threshold) == expected


def test_the_lines_follow_the_slider():
    reverse = Predictions(PREDICTIONS.labels, 1 - PREDICTIONS.probs, NAMES, NAMES)
    slider, line, other = build_threshold_explorer({"m": PREDICTIONS, "r": reverse}, threshold=0.65).children
    assert slider.value == 0.65 and "80.0% right" in line.value and line.value.startswith("<b>m</b>")
    slider.value = 1.0
    assert "misses 3" in line.value and "misses 3" in other.value
    assert (slider.min, slider.max) == (0, 1)


def test_one_class_has_a_line_too():
    ill = Predictions(np.array([1]), np.array([0.4]), NAMES[:1], NAMES[:1])
    assert describe_threshold(ill, 0.5).startswith("At 0.500 it finds 0 of 1 with pneumonia, misses 1;")
