"""Several models: Holm's correction by hand, verdicts on models whose order is known."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from simulated import simulate

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.compare import (
    Comparison,
    Delong,
    Difference,
    Mcnemar,
    compare_all,
    compare_models,
    compute_delong,
    compute_holm,
    compute_mcnemar,
)


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
    return compare_all(models, thresholds=THRESHOLDS, num_draws=400, seed=3)


def test_every_pair_is_compared_in_ranking_and_in_decisions(rows):
    pairs = [("good", "twin"), ("good", "noisy"), ("twin", "noisy")]
    assert [(row.first, row.second) for row in rows] == pairs * 2
    assert [row.difference.metric for row in rows] == ["auroc"] * 3 + ["accuracy"] * 3


def test_rows_hold_what_the_single_tests_give(models, rows):
    good, noisy = models["good"], models["noisy"]
    by_patient = compare_models(good, noisy, thresholds=(0.5, 0.5), num_draws=400, seed=3)
    by_patient = {difference.metric: difference for difference in by_patient}
    auroc, accuracy = rows[1], rows[4]
    assert auroc.difference == by_patient["auroc"] and accuracy.difference == by_patient["accuracy"]
    assert auroc.film_test == compute_delong(good.labels, good.probs, noisy.probs)
    assert accuracy.film_test == compute_mcnemar(good.labels, good.probs >= 0.5, noisy.probs >= 0.5)
    for three in (rows[:3], rows[3:]):
        assert [row.p_holm for row in three] == compute_holm([row.difference.p for row in three])
        assert [row.film_p_holm for row in three] == compute_holm([row.film_test.p for row in three])


def test_twins_are_level_and_noise_is_worse(rows):
    assert [row.is_real for row in rows] == [False, True, True] * 2
    assert rows[0].describe().startswith("auroc: good and twin are level. DeLong's test")
    start = "accuracy: the difference is real: twin is better than noisy by"
    assert rows[5].describe().startswith(start) and "McNemar's test, film by film" in rows[5].describe()
    assert "for 3 pairs" in rows[5].describe()


def test_rows_can_be_written_to_a_results_file(rows):
    json.dumps([asdict(row) for row in rows], allow_nan=False)


def test_what_may_be_chance_is_called_so():
    difference = Difference("auroc", 0.01, -0.01, 0.03, 0.3)
    row = Comparison("A", "B", difference, 0.3, Delong(0.01, -0.01, 0.03, 1.0, 0.3), None, 1)
    text = row.describe()
    assert text.startswith("auroc: B is ahead of A by 0.010") and "p = 0.3), which may be chance" in text
    assert text.endswith("DeLong's test, film by film, is undefined.")
    mcnemar = replace(row, film_test=Mcnemar(3, 5, 0.7, 5 / 3, 0.3, 11.0, 0.125), film_p_holm=0.7)
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
