"""DeLong's test against its definition, McNemar's against SciPy, both against hand calculation."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.compare import compute_delong, compute_mcnemar


def compute_slow_delong(labels, first, second):
    """By placement values, pair by pair (DeLong, DeLong and Clarke-Pearson 1988, equations 4 to 6)."""
    components = []
    for scores in (first, second):
        ill, well = scores[labels == 1], scores[labels == 0]
        wins = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in well] for x in ill]
        components.append((np.mean(wins, axis=1), np.mean(wins, axis=0)))
    s10 = np.cov([components[0][0], components[1][0]])
    s01 = np.cov([components[0][1], components[1][1]])
    covariance = s10 / (labels == 1).sum() + s01 / (labels == 0).sum()
    contrast = np.array([-1.0, 1.0])
    value = components[1][0].mean() - components[0][0].mean()
    return value, np.sqrt(contrast @ covariance @ contrast)


@pytest.mark.parametrize("decimals", [6, 1], ids=["no ties", "many ties"])
@pytest.mark.parametrize("seed", range(4))
def test_the_fast_form_is_the_definition(seed, decimals):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, 76), [0, 0, 1, 1])
    first, second = (np.round(1 / (1 + np.exp(-rng.normal(1.5 * labels, 1.0))), decimals) for _ in range(2))
    value, error = compute_slow_delong(labels, first, second)
    got = compute_delong(labels, first, second)
    assert got.value == pytest.approx(value, abs=1e-9)
    assert got.value == pytest.approx(roc_auc_score(labels, second) - roc_auc_score(labels, first), abs=1e-9)
    assert got.z == pytest.approx(value / error, abs=1e-9)
    assert got.p == pytest.approx(2 * norm.cdf(-abs(value / error)), abs=1e-9)
    half = norm.ppf(0.975) * error
    assert (got.low, got.high) == pytest.approx((value - half, value + half), abs=1e-9)


def test_delong_worked_out_by_hand():
    # Model B ranks all pairs rightly, model A does not:
    #   A: ill 0.9, 0.4, healthy 0.6, 0.5, 0.1. Of 3 healthy films 3 and 1 lie below the ill ones; of 2 ill
    #   films 1, 1 and 2 lie above the healthy ones. AUROC 4 / 6. B: 3, 3; 2, 2, 2; AUROC 1.
    # B - A per ill film 0, 2 (of 3): variance 2 / 9; per healthy film 1, 1, 0 (of 2): variance (1 / 3) / 4.
    # Variance of the difference 2 / 9 / 2 + 1 / 12 / 3 = 1 / 9 + 1 / 36 = 5 / 36; z = (1 / 3) / sqrt(5 / 36).
    labels = np.array([1, 1, 0, 0, 0])
    got = compute_delong(labels, np.array([0.9, 0.4, 0.6, 0.5, 0.1]), np.array([0.9, 0.8, 0.3, 0.2, 0.1]))
    assert got.value == pytest.approx(1 / 3, abs=1e-12)
    assert got.z == pytest.approx(2 / np.sqrt(5), abs=1e-12)


def test_delongs_interval_is_the_one_that_proc_publishes_for_the_irises():
    # pROC for R, on Species == "setosa" and Sepal.Length: AUROC 0.9586, 95 % interval 0.9302 to 0.987
    # (DeLong), published at github.com/RaulSanchezVazquez/roc_curve_with_confidence_intervals. A model that
    # says the same of every flower has an AUROC of 1/2 without any spread: the difference has the other's.
    lengths = load_iris().data[:, 0]
    probs, others = (lengths - lengths.min()) / np.ptp(lengths), (load_iris().target != 0).astype(int)
    got = compute_delong(others, np.full(150, 0.5), probs)
    published = np.array([0.9586, 0.9302, 0.9870]) - 0.5
    assert np.array([got.value, got.low, got.high]) == pytest.approx(published, abs=0.00005)


def test_a_model_ranks_like_itself():
    labels, probs = np.array([0, 1, 0, 1, 0, 1, 0]), np.array([0.1, 0.7, 0.4, 0.4, 0.2, 0.9, 0.3])
    got = compute_delong(labels, probs, probs**2)  # another scale, the same ranking
    assert (got.value, got.low, got.high, got.z, got.p) == (0, 0, 0, 0, 1)


def test_a_difference_without_spread_has_no_p():
    labels, probs = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    got = compute_delong(labels, 1 - probs, probs)  # all pairs wrong against all pairs right
    assert got.value == 1 and got.z is None and got.p is None


def test_equal_models_are_told_apart_in_5_of_100_cases():
    # 1,000 repeats of two models that share half their noise: 50 expected, standard error
    # sqrt(1000 * 0.05 * 0.95) = 7, and three of them allowed.
    rng, labels = np.random.default_rng(9), np.arange(120) % 2
    called = 0
    for _ in range(1000):
        shared = rng.normal(1.5 * labels, 1)
        first, second = (1 / (1 + np.exp(-shared - rng.normal(0, 1, 120))) for _ in range(2))
        called += compute_delong(labels, first, second).p < 0.05
    assert 29 <= called <= 71


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 1]])
def test_delong_needs_two_films_of_each_class(labels):
    probs = np.array([0.1, 0.5, 0.9])
    with pytest.raises(PneumoError, match="DeLong's test needs 2 or more"):
        compute_delong(np.array(labels), probs, probs)


def test_delong_refuses_what_are_no_probabilities():
    labels, probs = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    with pytest.raises(PneumoError, match="outside 0 to 1"):
        compute_delong(labels, probs, probs * np.nan)
    with pytest.raises(PneumoError, match="one of each a film"):
        compute_delong(labels, probs, probs[:3])


def make_decisions(only_first, only_second, both=5, none=3):
    """Decisions of two models on films that are all ill, so that called is right."""
    first = np.repeat([True, False, True, False], [only_first, only_second, both, none])
    second = np.repeat([False, True, True, False], [only_first, only_second, both, none])
    return np.ones(len(first), dtype=int), first, second


@pytest.mark.parametrize("split", [(1, 7), (10, 10), (0, 6), (6, 0), (25, 11), (1, 0)])
def test_mcnemar_is_scipys_binomial_test_of_the_films_where_they_part(split):
    got, apart = compute_mcnemar(*make_decisions(*split)), sum(split)
    expected = binomtest(split[1], apart)
    assert got.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (got.only_first_right, got.only_second_right) == split
    low, high = expected.proportion_ci(method="exact")
    assert got.odds_low == pytest.approx(low / (1 - low), abs=1e-9)
    assert got.odds_high == (pytest.approx(high / (1 - high), rel=1e-9) if split[0] else None)


def test_mcnemar_worked_out_by_hand():
    # 1 against 7 of 8 films: 2 * (1 + 8) / 2^8. Odds 7 : 1, g = 7 / 8 - 1 / 2.
    got = compute_mcnemar(*make_decisions(1, 7))
    assert got.p == pytest.approx(18 / 256, abs=1e-12)
    assert got.odds_ratio == 7 and got.cohens_g == 0.375


def test_decisions_on_healthy_films_count_as_well():
    labels = np.array([0, 0, 1, 1, 0])
    first = np.array([True, False, True, False, True])  # right on the films 1 and 2
    second = np.array([False, False, True, True, True])  # right on 0, 1, 2 and 3
    got = compute_mcnemar(labels, first, second)
    assert (got.only_first_right, got.only_second_right, got.odds_ratio) == (0, 2, None)


def test_decisions_that_never_part_do_not_differ():
    got = compute_mcnemar(*make_decisions(0, 0))
    assert got.p == 1 and got.odds_ratio is None and got.cohens_g is None and got.odds_low is None


def test_mcnemar_refuses_other_labels_and_lengths():
    labels, first, second = make_decisions(2, 3)
    with pytest.raises(PneumoError, match="expected 0"):
        compute_mcnemar(labels + 1, first, second)
    with pytest.raises(PneumoError, match="one of each a film"):
        compute_mcnemar(labels, first, second[1:])
