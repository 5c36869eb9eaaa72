"""Curves with bands, reliability diagram and decision curve against scikit-learn, SciPy and arithmetic."""

import numpy as np
import pytest
from scipy.stats import binomtest
from simulated import simulate
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.curves import (
    THRESHOLD_GRID,
    compute_chance_ece,
    compute_decision_curve,
    compute_reliability,
    compute_roc_band,
)
from pneumo_utils.evaluation.metrics import Predictions, compute_metrics, draw_patient_weights


@pytest.fixture(scope="module", params=[None, 1], ids=["no ties", "many ties"])
def films(request):
    return simulate(70, seed=11, max_films=3, decimals=request.param)


def trace_slow_roc(labels, probs, x):
    """Between two corners of the curve on a straight line; above a corner its highest point."""
    false_alarms, found, _ = roc_curve(labels, probs, drop_intermediate=False)
    left = np.flatnonzero(false_alarms <= x)[-1]
    if false_alarms[left] == x:
        return found[left]
    share = (x - false_alarms[left]) / (false_alarms[left + 1] - false_alarms[left])
    return found[left] + share * (found[left + 1] - found[left])


def test_the_curve_and_its_band_are_scikit_learns(films):
    got = compute_roc_band(films, num_draws=25)
    assert got.value == pytest.approx([trace_slow_roc(films.labels, films.probs, x) for x in got.x], abs=1e-9)
    curves = []
    for counts in draw_patient_weights(films.patients, num_draws=25):
        index = np.repeat(np.arange(len(films)), counts.astype(int))
        curves.append([trace_slow_roc(films.labels[index], films.probs[index], x) for x in got.x])
    assert got.low == pytest.approx(np.quantile(curves, 0.025, axis=0), abs=1e-9)
    assert got.high == pytest.approx(np.quantile(curves, 0.975, axis=0), abs=1e-9)


def test_corners_worked_out_by_hand():
    # From the top: ill, healthy, ill, healthy. ROC corners (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1).
    names = np.array(list("abcd"))
    films = Predictions(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.4, 0.1]), names, names)
    roc = compute_roc_band(films, num_draws=50)
    assert roc.value[[0, 25, 50, 100]].tolist() == [0.5, 0.5, 1, 1]


def test_a_perfect_model_has_a_band_without_width():
    films = simulate(60, seed=0)
    perfect = Predictions(films.labels, films.labels.astype(float), films.patients, films.names)
    got = compute_roc_band(perfect, num_draws=40)
    assert np.all(got.low == 1) and np.all(got.value == 1) and np.all(got.high == 1)


def test_one_class_or_one_patient_has_no_band():
    names, probs = np.array(list("abc")), np.array([0.1, 0.5, 0.9])
    with pytest.raises(PneumoError, match="films of each class"):
        compute_roc_band(Predictions(np.array([1, 1, 1]), probs, names, names))
    with pytest.raises(PneumoError, match="1 patient"):
        compute_roc_band(Predictions(np.array([0, 1, 1]), probs, np.full(3, "p"), names))


def make_predictions(labels, probs):
    names = np.arange(len(labels)).astype(str)
    return Predictions(np.array(labels), np.array(probs), names, names)


def test_bins_are_scikit_learns_quantile_bins():
    # 150 films of different probability, 10 a bin in both.
    films = simulate(150, seed=2)
    share, mean_prob = calibration_curve(films.labels, films.probs, n_bins=15, strategy="quantile")
    got = compute_reliability(films)
    assert got.value == pytest.approx(share, abs=1e-9) and got.x == pytest.approx(mean_prob, abs=1e-9)


def test_intervals_are_scipys_wilson_intervals():
    got = compute_reliability(simulate(150, seed=3))  # 10 films a bin
    for share, *ends in zip(got.value, got.low, got.high, strict=True):
        expected = binomtest(round(10 * share), 10).proportion_ci(method="wilson")
        assert ends == pytest.approx([expected.low, expected.high], abs=1e-9)


@pytest.mark.parametrize("decimals", [None, 2, 1])
def test_the_diagram_shows_the_calibration_error(decimals):
    films = simulate(400, seed=4, max_films=2, decimals=decimals)
    got = compute_reliability(films)
    below = np.searchsorted(np.sort(films.probs), films.probs)  # a bin is 15 x the share of lower ones
    counts = np.unique(15 * below // len(films), return_counts=True)[1]
    ece = np.average(np.abs(got.x - got.value), weights=counts)
    assert compute_metrics(films.labels, films.probs, threshold=0.5)["ece"] == pytest.approx(ece, abs=1e-9)


def test_films_that_tie_share_a_bin():
    got = compute_reliability(make_predictions([1, 1, 0, 0, 0], [0.4] * 5))
    assert got.x == pytest.approx([0.4]) and got.value.tolist() == [0.4]


def test_perfect_probabilities_show_the_error_that_chance_leaves():
    probs, rng = simulate(600, seed=5).probs, np.random.default_rng(6)
    errors = []
    for _ in range(400):
        labels = (rng.random(600) < probs).astype(int)  # each film is ill with its very probability
        errors.append(compute_metrics(labels, probs, threshold=0.5)["ece"])
    # The scatter of one error is about a fifth of it, so that the mean of 400 is good to 1 %; sums of 40
    # zeros and ones are not quite normal where probabilities are near 0 or 1, hence 5 %.
    assert compute_chance_ece(make_predictions(labels, probs)) == pytest.approx(np.mean(errors), rel=0.05)


def test_net_benefit_worked_out_by_hand():
    # At 0.5: 1 found, 1 false alarm of 4; (1 - 1 * 1) / 4. At 0.2: 2 found, 1 false alarm: (2 - 1 / 4) / 4.
    # Treating all at 0.2: (2 - 2 / 4) / 4. At 0.5 it is 0, for half are ill.
    model, treat_all = compute_decision_curve(make_predictions([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]))
    at = {round(100 * t): i for i, t in enumerate(THRESHOLD_GRID)}
    assert model[at[50]] == 0 and treat_all[at[50]] == 0
    assert (model[at[20]], treat_all[at[20]]) == pytest.approx((1.75 / 4, 1.5 / 4))
    assert len(THRESHOLD_GRID) == 99


def test_net_benefit_is_that_of_the_confusion_matrix_at_each_threshold():
    films = simulate(90, seed=7, decimals=2)
    curves = compute_decision_curve(films)
    for threshold, model, treat_all in zip(THRESHOLD_GRID, *curves, strict=True):
        for called, value in ((films.probs >= threshold, model), (np.ones(90), treat_all)):
            _, fp, _, tp = confusion_matrix(films.labels, called).ravel()
            assert value == pytest.approx((tp - fp * threshold / (1 - threshold)) / 90, abs=1e-9)


def test_a_perfect_model_gains_every_pneumonia_and_beats_treating_all():
    labels = np.array([1, 0, 0, 1, 1])
    model, treat_all = compute_decision_curve(make_predictions(labels, labels.astype(float)))
    assert model == pytest.approx(np.full(99, 0.6)) and np.all(model > treat_all)
