"""Reliability diagram and decision curve against scikit-learn, SciPy and hand calculation."""

import numpy as np
import pytest
from scipy.stats import binomtest
from simulated import simulate
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from pneumo_utils.evaluation.curves import compute_chance_ece, compute_decision_curve, compute_reliability
from pneumo_utils.evaluation.metrics import Predictions, compute_metrics


def make_predictions(labels, probs):
    names = np.arange(len(labels)).astype(str)
    return Predictions(np.array(labels), np.array(probs), names, names)


def test_bins_are_scikit_learns_quantile_bins():
    # 150 films of different probability, 10 a bin in both.
    films = simulate(150, seed=2)
    share, mean_prob = calibration_curve(films.labels, films.probs, n_bins=15, strategy="quantile")
    got = compute_reliability(films)
    assert [found.count for found in got] == [10] * 15
    assert [found.share for found in got] == pytest.approx(share, abs=1e-9)
    assert [found.mean_prob for found in got] == pytest.approx(mean_prob, abs=1e-9)


def test_intervals_are_scipys_wilson_intervals():
    for found in compute_reliability(simulate(200, seed=3), num_bins=6):
        expected = binomtest(round(found.share * found.count), found.count).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("decimals", [None, 2, 1])
def test_the_diagram_shows_the_calibration_error(decimals):
    films = simulate(400, seed=4, max_films=2, decimals=decimals)
    got = compute_reliability(films)
    ece = sum(found.count * abs(found.mean_prob - found.share) for found in got) / len(films)
    assert compute_metrics(films.labels, films.probs, threshold=0.5)["ece"] == pytest.approx(ece, abs=1e-9)
    assert sum(found.count for found in got) == len(films)


def test_films_that_tie_share_a_bin():
    (found,) = compute_reliability(make_predictions([1, 1, 0, 0, 0], [0.4] * 5))
    assert (found.mean_prob, found.share, found.count) == (pytest.approx(0.4), 0.4, 5)


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
    curve = compute_decision_curve(make_predictions([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]))
    at = {round(100 * t): i for i, t in enumerate(curve.thresholds)}
    assert curve.model[at[50]] == 0 and curve.treat_all[at[50]] == 0
    assert curve.model[at[20]] == pytest.approx(1.75 / 4) and curve.treat_all[at[20]] == pytest.approx(
        1.5 / 4
    )
    assert len(curve.thresholds) == 99


def test_net_benefit_is_that_of_the_confusion_matrix_at_each_threshold():
    films = simulate(90, seed=7, decimals=2)
    curve = compute_decision_curve(films)
    for threshold, model, treat_all in zip(curve.thresholds, curve.model, curve.treat_all, strict=True):
        for called, value in ((films.probs >= threshold, model), (np.ones(90), treat_all)):
            _, fp, _, tp = confusion_matrix(films.labels, called).ravel()
            assert value == pytest.approx((tp - fp * threshold / (1 - threshold)) / 90, abs=1e-9)


def test_a_perfect_model_gains_every_pneumonia_and_beats_treating_all():
    labels = np.array([1, 0, 0, 1, 1])
    curve = compute_decision_curve(make_predictions(labels, labels.astype(float)))
    assert curve.model == pytest.approx(np.full(99, 0.6)) and np.all(curve.model > curve.treat_all)
