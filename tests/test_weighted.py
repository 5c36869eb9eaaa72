"""Weighted figures against scikit-learn's sample weights, row by row."""

import numpy as np
import pytest
from simulated import simulate
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.metrics import assign_bins, compute_weighted_figures, rank_films

THRESHOLD = 0.4


@pytest.fixture(scope="module", params=[None, 1], ids=["no ties", "many ties"])
def films(request):
    return simulate(180, seed=3, decimals=request.param)


@pytest.fixture(scope="module", params=["counts", "fractions"])
def weights(request):
    rng = np.random.default_rng(4)
    whole = rng.poisson(1.0, (4, 180)).astype(float)  # about a third are 0, as in a bootstrap draw
    return whole if request.param == "counts" else whole * rng.random((4, 180))


def compute_reference(labels, probs, w):
    called = probs >= THRESHOLD
    return {
        "accuracy": reference.accuracy_score(labels, called, sample_weight=w),
        "auroc": reference.roc_auc_score(labels, probs, sample_weight=w),
        "sensitivity": reference.recall_score(labels, called, sample_weight=w),
        "specificity": reference.recall_score(labels, called, pos_label=0, sample_weight=w),
        "precision": reference.precision_score(labels, called, sample_weight=w),
        "f1": reference.f1_score(labels, called, sample_weight=w),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, called, sample_weight=w),
        "npv": reference.precision_score(labels, called, pos_label=0, sample_weight=w),
        "auprc": reference.average_precision_score(labels, probs, sample_weight=w),
        "brier": reference.brier_score_loss(labels, probs, sample_weight=w),
    }


def test_every_row_is_what_scikit_learn_gives_for_its_weights(films, weights):
    got = compute_weighted_figures(films.labels, films.probs, weights, threshold=THRESHOLD)
    for row, w in enumerate(weights):
        for name, value in compute_reference(films.labels, films.probs, w).items():
            assert got[name][row] == pytest.approx(value, abs=1e-9), name


def compute_slow_ece(labels, probs, counts):
    """The definition, with films repeated one by one: a film's bin is 15 x the share of lower ones."""
    repeated = [(p, y) for p, y, k in zip(probs, labels, counts, strict=True) for _ in range(int(k))]
    bins = {}
    for p, y in repeated:
        lower = sum(other < p for other, _ in repeated)
        bins.setdefault(15 * lower // len(repeated), []).append((p, y))
    gaps = (abs(np.mean([p for p, _ in b]) - np.mean([y for _, y in b])) * len(b) for b in bins.values())
    return sum(gaps) / len(repeated)


def test_the_calibration_error_is_its_definition(films):
    counts = np.random.default_rng(5).poisson(1.0, (6, 180)).astype(float)
    got = compute_weighted_figures(films.labels, films.probs, counts, threshold=THRESHOLD)["ece"]
    for row, w in enumerate(counts):
        assert got[row] == pytest.approx(compute_slow_ece(films.labels, films.probs, w), abs=1e-9)


def test_the_calibration_error_has_scikit_learns_quantile_bins():
    # With 150 films of different probability both kinds of bins hold 10 films each.
    films = simulate(150, seed=6)
    share, mean_prob = calibration_curve(films.labels, films.probs, n_bins=15, strategy="quantile")
    got = compute_weighted_figures(films.labels, films.probs, np.ones((1, 150)), threshold=THRESHOLD)
    assert got["ece"][0] == pytest.approx(np.mean(np.abs(share - mean_prob)), abs=1e-9)


@pytest.mark.parametrize(
    ("labels", "probs", "expected"),
    [
        # Fewer films than bins, each in a bin of its own: (0.1 + 0.7 + 0.4 + 0.1) / 4
        ([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.9], 0.325),
        # Ties are not torn apart: |0.5 - 3 / 4|
        ([1, 1, 1, 0], [0.5, 0.5, 0.5, 0.5], 0.25),
    ],
)
def test_calibration_errors_worked_out_by_hand(labels, probs, expected):
    got = compute_weighted_figures(np.array(labels), np.array(probs), np.ones((1, 4)), threshold=0.5)
    assert got["ece"][0] == pytest.approx(expected, abs=1e-12)


def test_bins_hold_equally_many_films():
    films = simulate(300, seed=7)
    bins = assign_bins(rank_films(films.labels, films.probs, np.ones((1, 300))), 15)[0]
    assert np.array_equal(np.bincount(bins), np.full(15, 20))


def test_a_film_that_was_not_drawn_opens_no_bin():
    ranking = rank_films(np.array([0, 1, 1]), np.array([0.1, 0.5, 0.9]), np.array([[1.0, 1.0, 0.0]]))
    assert assign_bins(ranking, 2).max() == 1


def test_equal_probabilities_rank_nothing():
    got = compute_weighted_figures(np.array([0, 1, 1]), np.full(3, 0.3), np.ones((1, 3)), threshold=0.5)
    assert got["auroc"][0] == 0.5 and got["auprc"][0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("kept", "undefined"),
    [
        ([1, 1, 0, 0], {"sensitivity", "auroc", "auprc", "balanced_accuracy"}),  # the normal films alone
        ([0, 0, 1, 1], {"specificity", "auroc", "auprc", "balanced_accuracy"}),
    ],
)
def test_a_row_without_a_class_leaves_undefined_what_needs_it(kept, undefined):
    labels, probs = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    got = compute_weighted_figures(labels, probs, np.array([kept, [1, 1, 1, 1]], dtype=float), threshold=0.5)
    assert {name for name, values in got.items() if np.isnan(values[0])} == undefined
    assert all(np.isfinite(values[1]) for values in got.values())


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="threshold"):
        compute_weighted_figures(np.array([0, 1]), np.array([0.1, 0.9]), np.ones((1, 2)), threshold=np.nan)
