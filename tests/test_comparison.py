"""The paired bootstrap: its p value and its words; further cases in test_metrics.py."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import simulate

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.compare import (
    Difference,
    Judged,
    compare_models,
    compute_difference,
    judge_models,
)
from pneumo_utils.evaluation.metrics import METRICS, compute_metrics, draw_patient_weights


def make_judged(value, draws):
    return Judged({"auroc": value}, {"auroc": np.array(draws, dtype=float)})


def test_the_p_value_worked_out_by_hand():
    # Of 19 draws of the difference 18 are above 0 and 1 is below: twice (1 + 1) / (1 + 19).
    first, second = make_judged(0.8, [0.0] * 19), make_judged(0.9, [-0.1] + [0.1] * 18)
    assert compute_difference(first, second, "auroc").p == pytest.approx(0.2)
    # The other way round it is the same.
    assert compute_difference(second, first, "auroc").p == pytest.approx(0.2)
    # All above 0: twice 1 / 20, never 0.
    assert compute_difference(first, make_judged(0.9, [0.1] * 19), "auroc").p == pytest.approx(0.1)


def test_undefined_draws_are_left_out():
    first, second = make_judged(0.8, [0.0] * 20), make_judged(0.9, [np.nan] + [0.1] * 19)
    got = compute_difference(first, second, "auroc")
    assert (got.low, got.high) == (0.1, 0.1) and got.p == pytest.approx(0.1)


def test_differences_are_those_of_repeated_films():
    first = simulate(60, seed=1, max_films=2)
    second = replace(
        first, probs=np.clip(first.probs + np.random.default_rng(2).normal(0, 0.2, len(first)), 0, 1)
    )
    got = compare_models(first, second, thresholds=(0.5, 0.4), num_draws=30, seed=6)
    assert [difference.metric for difference in got] == list(METRICS)
    draws = {name: [] for name in METRICS}
    for counts in draw_patient_weights(first.patients, num_draws=30, seed=6):
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
    difference = Difference(metric, value, value - 0.01, value + 0.01)
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
