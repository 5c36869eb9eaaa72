"""What a refer band does: shares by hand, intervals by patient."""

import json

import numpy as np
import pytest
from simulated import simulate

from pneumo_utils.evaluation.decisions import judge_refer_band
from pneumo_utils.evaluation.metrics import Predictions, compute_interval, draw_patient_weights
from pneumo_utils.training.thresholds import ReferBand, fit_refer_band, predict_sets


def make_predictions(labels, probs, patients=None):
    names = np.arange(len(labels)).astype(str)
    return Predictions(np.array(labels), np.array(probs), names if patients is None else patients, names)


def test_the_judgement_worked_out_by_hand():
    band = ReferBand(0.05, True, (0.6, 0.7))  # NORMAL up to 0.6, PNEUMONIA from 0.3 on
    # {N} right, {N} wrong, both, both, {P} right, {P} wrong
    films = make_predictions([0, 1, 0, 1, 1, 0], [0.1, 0.2, 0.4, 0.5, 0.9, 0.8])
    got = judge_refer_band(band, films, num_draws=100)
    expected = {
        "coverage": 4 / 6,
        "coverage_normal": 2 / 3,
        "coverage_pneumonia": 2 / 3,
        "share_referred": 2 / 6,
        "share_both": 2 / 6,
        "share_none": 0,
        "error_among_answered": 2 / 4,
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    assert (got["n"], got["alpha"], got["by_class"], got["limits"]) == (6, 0.05, True, (0.6, 0.7))
    assert set(got["intervals"]) == set(expected)
    json.dumps(got, allow_nan=False)


def test_intervals_are_those_of_films_drawn_by_patient():
    films = simulate(80, seed=1, max_films=3)
    fitted = simulate(200, seed=2)
    band = fit_refer_band(fitted.labels, fitted.probs, alpha=0.1)
    got = judge_refer_band(band, films, num_draws=60, seed=5)["intervals"]["error_among_answered"]
    errors = []
    for counts in draw_patient_weights(films.patients, num_draws=60, seed=5):
        index = np.repeat(np.arange(len(films)), counts.astype(int))
        sets = predict_sets(band, films.probs[index])
        single = sets.sum(1) == 1
        errors.append(np.mean(sets[single].argmax(1) != films.labels[index][single]))
    assert got == pytest.approx(compute_interval(np.array(errors)), abs=1e-9)


def test_where_all_are_referred_there_is_no_error_to_report():
    films = make_predictions([0, 1], [0.4, 0.6])
    got = judge_refer_band(ReferBand(0.05, True, (1.0, 1.0)), films, num_draws=20)
    assert got["share_referred"] == 1 and got["error_among_answered"] is None
    assert got["intervals"]["error_among_answered"] == (None, None)


def test_one_patient_gives_no_interval():
    films = make_predictions([0, 1], [0.1, 0.9], patients=np.array(["p", "p"]))
    got = judge_refer_band(ReferBand(0.05, True, (0.6, 0.6)), films, num_draws=20)
    assert got["coverage"] == 1 and got["intervals"]["coverage"] == (None, None)
