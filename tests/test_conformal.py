"""The refer band: limits and shares by hand, the promise in simulations."""

import json

import numpy as np
import pytest
from simulated import simulate

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.bootstrap import compute_interval, draw_patient_weights
from pneumo_utils.evaluation.conformal import ReferBand, fit_refer_band, judge_refer_band, predict_sets
from pneumo_utils.evaluation.predictions import Predictions


def make_predictions(labels, probs, patients=None):
    names = np.arange(len(labels)).astype(str)
    return Predictions(np.array(labels), np.array(probs), names if patients is None else patients, names)


def test_limits_worked_out_by_hand():
    # 19 normal films: k = 20 * 0.9 = 18, the second highest. 9 ill ones: k = 10 * 0.9 = 9, the lowest.
    normal, ill = np.arange(1, 20) / 40, 1 - np.arange(1, 10) / 100
    films = make_predictions([0] * 19 + [1] * 9, np.append(normal, ill))
    assert fit_refer_band(films, alpha=0.1).limits == pytest.approx((18 / 40, 0.09))
    # Together 28 scores: k = 29 * 0.9 = 26.1, so the 27th. The two highest are 18/40 and 19/40.
    assert fit_refer_band(films, alpha=0.1, by_class=False).limits == pytest.approx((18 / 40, 18 / 40))


def test_too_few_films_leave_no_class_out():
    # 9 films of a class cannot show an error rate of 5 %: k = 10 * 0.95 rounded up is 10.
    films = make_predictions([0] * 9 + [1] * 9, np.append(np.full(9, 0.1), np.full(9, 0.9)))
    band = fit_refer_band(films, alpha=0.05)
    assert band.limits == (1.0, 1.0) and predict_sets(band, np.array([0.0, 0.5, 1.0])).all()


def test_rounding_does_not_move_the_rank():
    # 19 + 1 films times 1 - 0.15 is 17, and a hair more or less in floats.
    films = make_predictions([0] * 19 + [1] * 19, np.append(np.arange(1, 20) / 40, 1 - np.arange(1, 20) / 40))
    assert fit_refer_band(films, alpha=0.15).limits == pytest.approx((17 / 40, 17 / 40))


def test_sets_worked_out_by_hand():
    wide = ReferBand(0.05, True, (0.6, 0.7))  # NORMAL up to 0.6, PNEUMONIA from 0.3 on
    assert predict_sets(wide, np.array([0.2, 0.3, 0.6, 0.7])).tolist() == [
        [True, False],
        [True, True],
        [True, True],
        [False, True],
    ]
    narrow = ReferBand(0.2, True, (0.3, 0.25))  # NORMAL up to 0.3, PNEUMONIA from 0.75 on
    assert predict_sets(narrow, np.array([0.1, 0.5, 0.8])).tolist() == [
        [True, False],
        [False, False],
        [False, True],
    ]


def compute_mean_coverage(*, by_class: bool, num_repeats: int = 1000, alpha: float = 0.1):
    """Coverage of 100 new films of each class, after a fit on 99 of each; per repeat and class."""
    rng, found = np.random.default_rng(8), []
    for _ in range(num_repeats):
        labels = np.repeat([0, 1], 199)
        # Ill films are harder: their scores scatter twice as much.
        probs = 1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1 + labels)))
        fitted = np.tile(np.arange(199) < 99, 2)
        band = fit_refer_band(make_predictions(labels[fitted], probs[fitted]), alpha=alpha, by_class=by_class)
        new = predict_sets(band, probs[~fitted])
        found.append([new[:100, 0].mean(), new[100:, 1].mean()])
    return np.array(found)


def test_each_class_is_covered_as_promised():
    # The expected coverage is k / (n + 1) = 90 / 100. In one repeat it has the variance of a beta-binomial,
    # 0.9 * 0.1 * (1 / 100 + 1 / 101) < 0.0018; over 1,000 repeats four standard errors are 0.0054.
    mean = compute_mean_coverage(by_class=True).mean(0)
    assert np.all(np.abs(mean - 0.9) < 0.0054), mean


def test_over_all_films_one_class_pays_for_the_other():
    # k = 199 * 0.9 rounded up is 180, the expected coverage 180 / 199 = 0.9045.
    mean = compute_mean_coverage(by_class=False).mean(0)
    assert abs(mean.mean() - 180 / 199) < 0.0054
    assert mean[0] > 0.93 and mean[1] < 0.88


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
    band = fit_refer_band(simulate(200, seed=2), alpha=0.1)
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


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, np.nan])
def test_impossible_error_rates_are_refused(alpha):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        fit_refer_band(simulate(20, seed=0), alpha=alpha)


def test_a_band_needs_both_classes():
    with pytest.raises(PneumoError, match="refer band needs"):
        fit_refer_band(make_predictions([1, 1], [0.2, 0.8]))
