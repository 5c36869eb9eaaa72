"""Temperature and threshold against brute force and known cases."""

import numpy as np
import pytest

from pneumo_utils.training.calibration import choose_threshold, fit_temperature


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4000)
    return labels, rng.normal(np.where(labels == 1, 1.0, -1.0), 1.0)


def test_the_temperature_undoes_a_known_scale(drawn):
    # For unit normals at +1 and -1 the true logit of x is 2 x. Logits of 6 x are too certain by 3.
    labels, x = drawn
    assert fit_temperature(6 * x, labels) == pytest.approx(3, rel=0.1)
    assert fit_temperature(6 * x, labels) == pytest.approx(3 * fit_temperature(2 * x, labels), rel=1e-3)


def test_the_temperature_is_the_best_on_a_grid(drawn):
    labels, x = drawn
    signed = np.where(labels == 1, x, -x)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    losses = [np.log1p(np.exp(-signed / t)).mean() for t in grid]
    assert fit_temperature(x, labels) == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)


def test_perfect_ranking_puts_the_threshold_halfway():
    assert choose_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])) == pytest.approx(0.4)


def test_the_threshold_balances_sensitivity_and_specificity(drawn):
    labels, x = drawn
    probs = 1 / (1 + np.exp(-2 * x))
    threshold = choose_threshold(labels, probs)
    called = probs >= threshold
    gap = abs(called[labels == 1].mean() - (~called)[labels == 0].mean())
    candidates = np.unique(probs)
    best = min(
        abs((probs >= t)[labels == 1].mean() - (probs < t)[labels == 0].mean()) for t in candidates[::7]
    )
    assert gap <= best + 1e-12


@pytest.mark.parametrize("probs", [[0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
def test_ties_and_extremes_give_a_threshold_in_range(probs):
    assert 0 <= choose_threshold(np.array([0, 1, 0, 1]), np.array(probs)) <= 1
