"""Models compared: the paired bootstrap, DeLong's and McNemar's tests, Holm's correction, and the words."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from simulated import simulate
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.compare import (
    Comparison,
    Difference,
    compare_all,
    compare_models,
    compute_delong,
    compute_difference,
    compute_holm,
    compute_mcnemar,
    estimate_auroc_difference,
    judge_models,
)
from pneumo_utils.evaluation.metrics import METRICS, Predictions, compute_metrics, draw_patient_weights


@pytest.fixture(scope="module")
def films():
    return simulate(80, seed=1, max_films=3, decimals=2)


def test_a_model_does_not_differ_from_itself(films):
    for difference in compare_models(films, films, thresholds=(0.4, 0.4)):
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        assert "no clear difference" in difference.describe("A", "B")


def test_a_clear_difference_is_called_clear(films):
    perfect = Predictions(films.labels, films.labels.astype(float), films.patients, films.names)
    auroc = compare_models(films, perfect, thresholds=(0.4, 0.5))[METRICS.index("auroc")]
    expected = 1 - roc_auc_score(films.labels, films.probs)
    assert auroc.value == pytest.approx(expected)
    assert auroc.describe("A", "B").startswith("auroc: B is better than A by")


def test_a_figure_that_one_model_lacks_is_left_out(films):
    # A model that calls nothing pneumonia has no precision.
    names = [d.metric for d in compare_models(films, films, thresholds=(1.1, 0.4))]
    assert names == [name for name in METRICS if name != "precision"]


def test_the_p_value_worked_out_by_hand():
    # Of 19 draws of the difference 18 are above 0 and 1 is below: twice (1 + 1) / (1 + 19).
    first, second = np.array([0.8] + [0.0] * 19), np.array([0.9, -0.1] + [0.1] * 18)
    assert compute_difference("auroc", first, second).p == pytest.approx(0.2)
    # The other way round it is the same.
    assert compute_difference("auroc", second, first).p == pytest.approx(0.2)
    # All above 0: twice 1 / 20, never 0.
    got = compute_difference("auroc", first, np.array([0.9] + [0.1] * 19))
    assert got.p == pytest.approx(0.1) and got.value == pytest.approx(0.1)


def test_undefined_draws_are_left_out():
    first, second = np.array([0.8] + [0.0] * 20), np.array([0.9, np.nan] + [0.1] * 19)
    got = compute_difference("auroc", first, second)
    assert (got.low, got.high) == (0.1, 0.1) and got.p == pytest.approx(0.1)


def test_differences_are_those_of_repeated_films():
    first = simulate(60, seed=1, max_films=2)
    second = replace(
        first, probs=np.clip(first.probs + np.random.default_rng(2).normal(0, 0.2, len(first)), 0, 1)
    )
    got = compare_models(first, second, thresholds=(0.5, 0.4), num_draws=30)
    assert [difference.metric for difference in got] == list(METRICS)
    draws = {name: [] for name in METRICS}
    for counts in draw_patient_weights(first.patients, num_draws=30):
        index = np.repeat(np.arange(len(first)), counts.astype(int))
        a, b = (
            compute_metrics(model.labels[index], model.probs[index], threshold=threshold)
            for model, threshold in ((first, 0.5), (second, 0.4))
        )
        for name in METRICS:
            draws[name].append(b[name] - a[name])
    for difference in got:
        expected = np.quantile(draws[difference.metric], [0.025, 0.975])
        assert (difference.low, difference.high) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "value", "better"),
    [("auroc", 0.1, "B"), ("auroc", -0.1, "A"), ("brier", 0.1, "A"), ("ece", -0.1, "B")],
)
def test_less_is_better_where_errors_are_counted(metric, value, better):
    worse = "A" if better == "B" else "B"
    difference = Difference(metric, value, value - 0.01, value + 0.01, 0.001)
    assert difference.describe("A", "B").startswith(f"{metric}: {better} is better than {worse} by 0.100")


@pytest.mark.parametrize("field", ["names", "labels", "patients"])
def test_other_films_are_refused_by_what_differs(field):
    first = simulate(20, seed=0)
    other = replace(first, **{field: np.roll(getattr(first, field), 1)})
    if field == "labels":
        other = replace(first, labels=1 - first.labels)
    with pytest.raises(PneumoError, match=f"different films.*{field}"):
        judge_models([first, other], [0.5, 0.5])


def test_one_patient_shows_no_difference():
    films = simulate(20, seed=0)
    films = replace(films, patients=np.full(20, "p"))
    with pytest.raises(PneumoError, match="one patient"):
        compare_models(films, films, thresholds=(0.5, 0.5))


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
    assert estimate_auroc_difference(labels, first, second) == pytest.approx((value, error), abs=1e-9)
    assert value == pytest.approx(roc_auc_score(labels, second) - roc_auc_score(labels, first), abs=1e-9)
    p = compute_delong(labels, first, second)
    assert p == pytest.approx(2 * norm.cdf(-abs(value / error)), abs=1e-9)


def test_delong_worked_out_by_hand():
    # Model B ranks all pairs rightly, model A does not:
    #   A: ill 0.9, 0.4, healthy 0.6, 0.5, 0.1. Of 3 healthy films 3 and 1 lie below the ill ones; of 2 ill
    #   films 1, 1 and 2 lie above the healthy ones. AUROC 4 / 6. B: 3, 3; 2, 2, 2; AUROC 1.
    # B - A per ill film 0, 2 (of 3): variance 2 / 9; per healthy film 1, 1, 0 (of 2): variance (1 / 3) / 4.
    # Variance of the difference 2 / 9 / 2 + 1 / 12 / 3 = 1 / 9 + 1 / 36 = 5 / 36; z = (1 / 3) / sqrt(5 / 36).
    labels = np.array([1, 1, 0, 0, 0])
    models = np.array([0.9, 0.4, 0.6, 0.5, 0.1]), np.array([0.9, 0.8, 0.3, 0.2, 0.1])
    value, error = estimate_auroc_difference(labels, *models)
    assert value == pytest.approx(1 / 3, abs=1e-12)
    assert value / error == pytest.approx(2 / np.sqrt(5), abs=1e-12)
    assert compute_delong(labels, *models) == pytest.approx(2 * norm.cdf(-2 / np.sqrt(5)), abs=1e-12)


def test_delongs_interval_is_the_one_that_proc_publishes_for_the_irises():
    # pROC for R, on Species == "setosa" and Sepal.Length: AUROC 0.9586, 95 % interval 0.9302 to 0.987
    # (DeLong), published at github.com/RaulSanchezVazquez/roc_curve_with_confidence_intervals. A model that
    # says the same of every flower has an AUROC of 1/2 without any spread: the difference has the other's.
    lengths = load_iris().data[:, 0]
    probs, others = (lengths - lengths.min()) / np.ptp(lengths), (load_iris().target != 0).astype(int)
    value, error = estimate_auroc_difference(others, np.full(150, 0.5), probs)
    published = np.array([0.9586, 0.9302, 0.9870]) - 0.5
    assert value + norm.ppf([0.5, 0.025, 0.975]) * error == pytest.approx(published, abs=0.00005)


def test_a_model_ranks_like_itself():
    labels, probs = np.array([0, 1, 0, 1, 0, 1, 0]), np.array([0.1, 0.7, 0.4, 0.4, 0.2, 0.9, 0.3])
    assert estimate_auroc_difference(labels, probs, probs**2) == (0, 0)  # another scale, the same ranking
    assert compute_delong(labels, probs, probs**2) == 1


def test_a_difference_without_spread_has_no_p():
    labels, probs = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    # All pairs wrong against all pairs right.
    assert estimate_auroc_difference(labels, 1 - probs, probs) == (1, 0)
    assert compute_delong(labels, 1 - probs, probs) is None


def test_equal_models_are_told_apart_in_5_of_100_cases():
    # 1,000 repeats of two models that share half their noise: 50 expected, standard error
    # sqrt(1000 * 0.05 * 0.95) = 7, and three of them allowed.
    rng, labels = np.random.default_rng(9), np.arange(120) % 2
    called = 0
    for _ in range(1000):
        shared = rng.normal(1.5 * labels, 1)
        first, second = (1 / (1 + np.exp(-shared - rng.normal(0, 1, 120))) for _ in range(2))
        called += compute_delong(labels, first, second) < 0.05
    assert 29 <= called <= 71


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 1]])
def test_delong_needs_two_films_of_each_class(labels):
    probs = np.array([0.1, 0.5, 0.9])
    with pytest.raises(PneumoError, match="DeLong's test needs 2 or more"):
        compute_delong(np.array(labels), probs, probs)


def make_decisions(only_first, only_second, both=5, none=3):
    """Decisions of two models on films that are all ill, so that called is right."""
    first = np.repeat([True, False, True, False], [only_first, only_second, both, none])
    second = np.repeat([False, True, True, False], [only_first, only_second, both, none])
    return np.ones(len(first), dtype=int), first, second


@pytest.mark.parametrize("split", [(1, 7), (10, 10), (0, 6), (6, 0), (25, 11), (1, 0)])
def test_mcnemar_is_scipys_binomial_test_of_the_films_where_they_part(split):
    expected = binomtest(split[1], sum(split)).pvalue
    assert compute_mcnemar(*make_decisions(*split)) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_worked_out_by_hand():
    # 1 against 7 of 8 films: 2 * (1 + 8) / 2^8.
    assert compute_mcnemar(*make_decisions(1, 7)) == pytest.approx(18 / 256, abs=1e-12)


def test_decisions_on_healthy_films_count_as_well():
    labels = np.array([0, 0, 1, 1, 0])
    first = np.array([True, False, True, False, True])  # right on the films 1 and 2
    second = np.array([False, False, True, True, True])  # right on 0, 1, 2 and 3
    assert compute_mcnemar(labels, first, second) == pytest.approx(2 / 4)  # 0 against 2 of 2 films


def test_decisions_that_never_part_do_not_differ():
    assert compute_mcnemar(*make_decisions(0, 0)) == 1


@pytest.mark.parametrize(
    ("ps", "expected"),
    [
        # Sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04; none may be below the one before it.
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([0.02, None, 0.04], [0.04, None, 0.04]),  # a test without a p is no test
        ([None], [None]),
    ],
)
def test_holm_worked_out_by_hand(ps, expected):
    assert compute_holm(ps) == pytest.approx(expected, abs=1e-9)


@pytest.fixture(scope="module")
def models():
    """One model, the same once more, and one whose scores drown in noise."""
    good = simulate(200, seed=1, max_films=2)
    noise = np.random.default_rng(2).random(len(good))
    return {"good": good, "twin": good, "noisy": replace(good, probs=0.3 * good.probs + 0.7 * noise)}


THRESHOLDS = {"good": 0.5, "twin": 0.5, "noisy": 0.5}


@pytest.fixture(scope="module")
def rows(models):
    return compare_all(models, thresholds=THRESHOLDS, num_draws=400)


def test_every_pair_is_compared_in_ranking_and_in_decisions(rows):
    pairs = [("good", "twin"), ("good", "noisy"), ("twin", "noisy")]
    assert [(row.first, row.second) for row in rows] == pairs * 2
    assert [row.difference.metric for row in rows] == ["auroc"] * 3 + ["accuracy"] * 3


def test_rows_hold_what_the_single_tests_give(models, rows):
    good, noisy = models["good"], models["noisy"]
    by_patient = compare_models(good, noisy, thresholds=(0.5, 0.5), num_draws=400)
    by_patient = {difference.metric: difference for difference in by_patient}
    auroc, accuracy = rows[1], rows[4]
    assert auroc.difference == by_patient["auroc"] and accuracy.difference == by_patient["accuracy"]
    labels, pairs = good.labels, [("good", "twin"), ("good", "noisy"), ("twin", "noisy")]
    probs = {name: model.probs for name, model in models.items()}
    delong = [compute_delong(labels, probs[a], probs[b]) for a, b in pairs]
    mcnemar = [compute_mcnemar(labels, probs[a] >= 0.5, probs[b] >= 0.5) for a, b in pairs]
    for three, film_ps in ((rows[:3], delong), (rows[3:], mcnemar)):
        assert [row.p_holm for row in three] == compute_holm([row.difference.p for row in three])
        assert [row.film_p_holm for row in three] == compute_holm(film_ps)


def test_twins_are_level_and_noise_is_worse(rows):
    assert [row.is_real for row in rows] == [False, True, True] * 2
    assert rows[0].describe().startswith("auroc: good and twin are level. DeLong's test")
    start = "accuracy: clear on these films: twin is better than noisy by"
    assert rows[5].describe().startswith(start) and "McNemar's test, film by film" in rows[5].describe()
    assert "for 3 pairs" in rows[5].describe()


def test_rows_can_be_written_to_a_results_file(rows):
    json.dumps([asdict(row) for row in rows], allow_nan=False)


def test_what_may_be_chance_is_called_so():
    difference = Difference("auroc", 0.01, -0.01, 0.03, 0.3)
    row = Comparison("A", "B", difference, 0.3, None, 1)
    text = row.describe()
    assert text.startswith("auroc: B is ahead of A by 0.010") and "p = 0.3), which may be chance" in text
    assert text.endswith("DeLong's test, film by film, is undefined.")
    mcnemar = replace(row, difference=replace(difference, metric="accuracy"), film_p_holm=0.7)
    assert mcnemar.describe().endswith("McNemar's test, film by film, gives p = 0.7.")


def test_many_pairs_get_enough_draws_to_call_a_difference_real(models):
    # 7 models make 21 pairs. With 20 draws p would be 2 / 21 at least, 2 after Holm's correction; with 100 a
    # pair it is 2 / 2101 at least.
    several = {f"noisy {i}": models["noisy"] for i in range(6)} | {"good": models["good"]}
    rows = compare_all(several, thresholds=dict.fromkeys(several, 0.5), num_draws=20)
    assert sum(row.is_real for row in rows) == 2 * 6
    assert min(row.difference.p for row in rows) == pytest.approx(2 / 2101)


def test_bad_requests_are_refused(models):
    with pytest.raises(UsageError, match="two or more"):
        compare_all({"good": models["good"]}, thresholds=THRESHOLDS)
    with pytest.raises(UsageError, match="a threshold for each"):
        compare_all(models, thresholds={"good": 0.5})
    ill = models["good"].labels == 1
    ill_only = {
        name: replace(model, **{field: getattr(model, field)[ill] for field in vars(model)})
        for name, model in models.items()
    }
    with pytest.raises(PneumoError, match="2 or more films of each class"):
        compare_all(ill_only, thresholds=THRESHOLDS)


@pytest.mark.parametrize(("low", "high"), [(-0.0003, 0.02), (-0.02, 0.0003)])
def test_no_end_of_an_interval_is_minus_zero(low, high):
    value = (low + high) / 2
    text = Difference("auroc", value, low, high, p=0.1).describe_size()
    assert text == f"by {abs(value):.3f} (95 % interval +0.000 to +0.020)"
