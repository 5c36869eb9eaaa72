"""Operating points against brute force, and changed prevalences against Bayes' rule."""

import numpy as np
import pytest
from scipy.stats import norm
from simulated import simulate

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.decisions import choose_points, judge_points, shift_prior
from pneumo_utils.evaluation.metrics import Predictions, compute_intervals, compute_metrics
from pneumo_utils.training.thresholds import (
    RULE_IN_SPECIFICITY,
    choose_rule_in_threshold,
    choose_screening_threshold,
    choose_threshold,
)


@pytest.mark.parametrize("specificity", [0.05, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_rule_in_threshold_is_the_best_of_all(seed, specificity):
    films = simulate(60, seed=seed, decimals=2)
    normal = films.probs[films.labels == 0]
    candidates = np.append(np.unique(films.probs), 1.001)
    best = min(t for t in candidates if (normal < t).mean() >= specificity)
    got = choose_rule_in_threshold(films.labels, films.probs, specificity=specificity)
    assert 0 <= got <= 1 and np.array_equal(films.probs >= got, films.probs >= best)
    below = candidates[candidates < best]
    assert got == pytest.approx((min(best, 1) + below[-1]) / 2 if len(below) else best)


def test_ruling_in_leaves_95_of_100_healthy_alone():
    # Of 80 normal films 4 may be called. The fifth and the fourth from the top lie at 0.475 and 0.48.
    probs = np.append(0.5 - 0.005 * np.arange(1, 81), 0.9)
    labels = np.append(np.zeros(80, int), 1)
    assert choose_rule_in_threshold(labels, probs) == pytest.approx((0.475 + 0.48) / 2)
    assert RULE_IN_SPECIFICITY == 0.95


def test_normal_films_at_the_top_leave_a_threshold_that_calls_nothing():
    labels = np.array([0, 1, 0, 1])
    between = choose_rule_in_threshold(labels, np.array([0.8, 0.7, 0.2, 0.1]), specificity=1.0)
    assert between == pytest.approx(0.9)  # halfway from 0.8 to 1
    above = choose_rule_in_threshold(labels, np.array([1.0, 1.0, 0.2, 0.1]), specificity=1.0)
    assert 1 < above < 1 + 1e-12


def test_neighbouring_floats_are_told_apart():
    low = 0.5
    high = np.nextafter(low, 1)
    threshold = choose_rule_in_threshold(np.array([0, 1]), np.array([low, high]), specificity=1.0)
    assert low < threshold <= high


def test_points_are_the_three_that_calibration_chooses():
    films = simulate(300, seed=1)
    assert choose_points(films) == {
        "balanced": choose_threshold(films.labels, films.probs),
        "screening": choose_screening_threshold(films.labels, films.probs),
        "rule_in": choose_rule_in_threshold(films.labels, films.probs),
    }


def test_points_need_both_classes():
    names = np.array(["a", "b"])
    with pytest.raises(PneumoError, match="0 NORMAL and 2 PNEUMONIA"):
        choose_points(Predictions(np.array([1, 1]), np.array([0.2, 0.8]), names, names))


def test_points_are_judged_with_intervals():
    films = simulate(120, seed=2, max_films=2)
    judged = judge_points(films, {"balanced": 0.5, "rule_in": 0.8}, num_draws=50, seed=4)
    assert list(judged) == ["balanced", "rule_in"]
    for row, threshold in zip(judged.values(), (0.5, 0.8), strict=True):
        figures = compute_metrics(films.labels, films.probs, threshold=threshold)
        intervals = compute_intervals(films, threshold=threshold, num_draws=50, seed=4)
        assert row == {"threshold": threshold, **figures, "intervals": intervals}


def test_probabilities_at_another_prevalence_worked_out_by_hand():
    # Even odds at a prevalence of a half are the prior odds of 1 : 9 at a tenth.
    assert shift_prior(0.5, from_prevalence=0.5, to_prevalence=0.1) == pytest.approx(0.1)
    # Odds 3 : 1 at three quarters tell nothing, and so must be 1 : 4 at a fifth.
    assert shift_prior(0.75, from_prevalence=0.75, to_prevalence=0.2) == pytest.approx(0.2)
    got = shift_prior(np.array([0.0, 0.3, 1.0]), from_prevalence=0.4, to_prevalence=0.4)
    assert got == pytest.approx([0.0, 0.3, 1.0], abs=1e-12)


def test_the_correction_is_bayes_rule():
    x = np.linspace(-4, 4, 41)

    def posterior(prevalence):  # of two unit normals at +1 and -1
        ill, well = prevalence * norm.pdf(x, 1), (1 - prevalence) * norm.pdf(x, -1)
        return ill / (ill + well)

    got = shift_prior(posterior(0.7), from_prevalence=0.7, to_prevalence=0.05)
    assert got == pytest.approx(posterior(0.05), abs=1e-9)


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, 62.5, np.nan])
def test_impossible_prevalences_are_refused(prevalence):
    with pytest.raises(UsageError, match=r"to_prevalence is .* above 0 and below 1"):
        shift_prior(0.5, from_prevalence=0.5, to_prevalence=prevalence)
    with pytest.raises(UsageError, match="from_prevalence"):
        shift_prior(0.5, from_prevalence=prevalence, to_prevalence=0.5)


@pytest.mark.parametrize("prob", [-0.1, 1.1, np.nan])
def test_impossible_probabilities_are_not_shifted(prob):
    with pytest.raises(UsageError, match="outside 0 to 1"):
        shift_prior(np.array([0.5, prob]), from_prevalence=0.5, to_prevalence=0.1)
