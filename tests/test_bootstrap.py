"""Draws and intervals against SciPy, and in simulations in which the truth is known."""

import numpy as np
import pytest
from scipy import stats
from simulated import simulate, true_figures

from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation import metrics
from pneumo_utils.evaluation.metrics import (
    METRICS,
    compute_draws,
    compute_interval,
    compute_intervals,
    draw_patient_weights,
)


def test_work_in_blocks_changes_nothing(monkeypatch):
    films = simulate(40, seed=0)
    weights = draw_patient_weights(films.patients, num_draws=30)
    whole = compute_draws(films, weights, threshold=0.5)
    monkeypatch.setattr(metrics, "BLOCK_CELLS", 100)  # 1,200 weights in 12 blocks
    for name, values in compute_draws(films, weights, threshold=0.5).items():
        assert values == pytest.approx(whole[name], abs=1e-12)
    assert tuple(whole) == METRICS


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    patients = np.array(list("aabbc"))
    first, again, other = (draw_patient_weights(patients, num_draws=50, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_patients_are_drawn_with_replacement_and_with_equal_chances():
    # 3 patients, 4,000 draws: each patient comes up once a draw on average, with the variance of a binomial
    # of 3 trials, 3 * 1/3 * 2/3 = 2/3. Four standard errors of the mean: 4 * sqrt(2/3 / 4000) = 0.052.
    weights = draw_patient_weights(np.array(list("aabbc")), num_draws=4000)
    assert np.all(np.abs(weights.mean(0) - 1) < 0.052)
    assert np.all(np.isin(weights, (0, 1, 2, 3))) and np.all(weights[:, [0, 2, 4]].sum(1) == 3)


def test_no_draw_is_refused():
    with pytest.raises(UsageError, match="num_draws is 0"):
        draw_patient_weights(np.array(["a"]), num_draws=0)


def test_the_interval_leaves_out_undefined_draws():
    # Of 0 ... 100 the 2.5 percentile is 2.5 and the 97.5 percentile 97.5.
    values = np.append(np.arange(101.0), [np.nan] * 7)
    assert compute_interval(values) == (2.5, 97.5)
    assert compute_interval(np.array([np.nan, np.nan])) == (None, None)


def compute_slow_auroc(labels, probs):
    """By ranks, along the last axis (Mann and Whitney)."""
    ill = labels.sum(-1)
    wins = (stats.rankdata(probs, axis=-1) * labels).sum(-1) - ill * (ill + 1) / 2
    return wins / (ill * (labels.shape[-1] - ill))


def test_percentile_intervals_are_scipys_up_to_chance():
    films, num_draws = simulate(250, seed=1), 4000
    right = (films.probs >= 0.5) == (films.labels == 1)
    statistics = {
        "accuracy": lambda i, axis: right[i].mean(axis),
        "auroc": lambda i, axis: compute_slow_auroc(films.labels[i], films.probs[i]),
    }
    intervals = compute_intervals(films, threshold=0.5, num_draws=num_draws)
    for name, statistic in statistics.items():
        expected = stats.bootstrap((np.arange(250),), statistic, n_resamples=num_draws, batch=1000,
                                   method="percentile", rng=np.random.default_rng(2))  # fmt: skip
        # The 2.5 percentile of D normal draws has the standard error
        # sigma sqrt(0.025 * 0.975 / D) / pdf(1.96) = 2.67 sigma / sqrt(D); two of them, four standard errors:
        tolerance = 4 * np.sqrt(2) * 2.67 * expected.standard_error / np.sqrt(num_draws)
        assert intervals[name] == pytest.approx(tuple(expected.confidence_interval), abs=tolerance), name


@pytest.mark.parametrize(
    "design",
    [{"num_patients": 300}, {"num_patients": 250, "max_films": 2, "patient_spread": 1.0}],
    ids=["a film a patient", "clusters"],
)
def test_95_of_100_intervals_hold_the_truth(design):
    # 1,000 repeats, each with other films and another 200 of 4,000 draws of patients. If 95 % hold the truth,
    # the count has the standard error sqrt(1000 * 0.95 * 0.05) = 7.
    truth = true_figures(patient_spread=design.get("patient_spread", 0.0))
    everyone = np.arange(design["num_patients"]).astype(str)
    pool, held = draw_patient_weights(everyone, num_draws=4000), dict.fromkeys(truth, 0)
    for repeat in range(1000):
        films = simulate(**design, seed=repeat)
        drawn = np.random.default_rng(repeat).choice(4000, 200, replace=False)
        weights = pool[np.ix_(drawn, films.patients.astype(int))]
        draws = compute_draws(films, weights, threshold=0.5)
        for name, value in truth.items():
            low, high = compute_interval(draws[name])
            held[name] += low <= value <= high
    assert all(930 <= count <= 970 for count in held.values()), held
