"""Metrics and their intervals against scikit-learn, SciPy, plain loops and simulations of known truth."""

import json

import numpy as np
import pytest
from scipy import stats
from simulated import simulate, true_figures
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from pneumo_utils.data.dataset import check_both_classes
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation import metrics
from pneumo_utils.evaluation.metrics import (
    METRICS,
    Predictions,
    check_labels_and_probs,
    compute_draws,
    compute_highest_accuracy,
    compute_interval,
    compute_intervals,
    compute_metrics,
    compute_predictive_values,
    compute_weighted_metrics,
    draw_patient_weights,
    rank_films,
)


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    probs = np.round(np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1), 2)  # rounded: many ties
    patients = np.array([f"p{i // 3}" for i in range(200)])
    return Predictions(labels, probs, patients, np.array([f"f{i}" for i in range(200)]))


def test_figures_are_scikit_learns(predictions):
    labels, probs = predictions.labels, predictions.probs
    got, called = compute_metrics(labels, probs, threshold=0.4), probs >= 0.4
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(labels, called))
    assert got["auroc"] == pytest.approx(reference.roc_auc_score(labels, probs))
    assert got["sensitivity"] == got["recall"] == pytest.approx(reference.recall_score(labels, called))
    assert got["specificity"] == pytest.approx(reference.recall_score(labels, called, pos_label=0))
    assert got["precision"] == pytest.approx(reference.precision_score(labels, called))
    assert got["f1"] == pytest.approx(reference.f1_score(labels, called))
    tn, fp, fn, tp = reference.confusion_matrix(labels, called).ravel()
    assert got["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp} and got["n"] == 200


def test_a_film_on_the_threshold_is_called_pneumonia():
    assert compute_metrics(np.array([1]), np.array([0.5]), threshold=0.5)["confusion"]["tp"] == 1


def test_undefined_figures_are_none():
    one_class = compute_metrics(np.array([1, 1]), np.array([0.2, 0.3]), threshold=0.5)
    assert one_class["auroc"] is None and one_class["specificity"] is None
    assert one_class["precision"] is None and one_class["sensitivity"] == 0


def test_films_of_a_patient_are_drawn_together(predictions):
    weights = draw_patient_weights(predictions.patients, num_draws=50)
    assert np.array_equal(weights[:, 0], weights[:, 1]) and np.array_equal(weights[:, 0], weights[:, 2])
    assert np.all(weights[:, ::3].sum(1) == 67)  # as many patients are drawn as there are: 200 / 3 rounded up


def test_draws_are_what_scikit_learn_gives_for_repeated_films(predictions):
    weights = draw_patient_weights(predictions.patients, num_draws=20)
    draws = compute_draws(predictions, weights, threshold=0.4)
    for draw in range(20):
        index = np.repeat(np.arange(200), weights[draw].astype(int))
        labels, probs = predictions.labels[index], predictions.probs[index]
        assert draws["auroc"][draw] == pytest.approx(reference.roc_auc_score(labels, probs), abs=1e-12)
        expected = compute_metrics(labels, probs, threshold=0.4)
        for name in METRICS:
            assert draws[name][draw] == pytest.approx(expected[name], abs=1e-12)


def test_the_interval_of_an_accuracy_is_near_the_binomial_one():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 1000)
    right = rng.random(1000) < 0.8
    probs = np.where(right, labels, 1 - labels).astype(float)
    names = np.array([f"f{i}" for i in range(1000)])
    low, high = compute_intervals(Predictions(labels, probs, names, names), threshold=0.5)["accuracy"]
    p = right.mean()
    half = 1.96 * np.sqrt(p * (1 - p) / 1000)
    assert low == pytest.approx(p - half, abs=0.004) and high == pytest.approx(p + half, abs=0.004)


def test_patients_with_many_films_widen_the_interval(predictions):
    alone = Predictions(predictions.labels, predictions.probs, predictions.names, predictions.names)
    copies = np.repeat(np.arange(200), 9)
    repeated = Predictions(
        predictions.labels[copies],
        predictions.probs[copies],
        predictions.names[copies],
        predictions.names[copies],
    )
    width = [np.ptp(compute_intervals(p, threshold=0.4)["accuracy"]) for p in (alone, repeated)]
    assert width[1] == pytest.approx(width[0], rel=0.1)  # nine copies of a film are no more evidence than one


def test_a_model_that_calls_nothing_pneumonia_has_no_precision_and_breaks_nothing(predictions):
    intervals = compute_intervals(predictions, threshold=1.1)
    assert intervals["precision"] == (None, None) and intervals["sensitivity"] == (0, 0)


def test_the_further_figures_are_scikit_learns(predictions):
    labels, probs = predictions.labels, predictions.probs
    got, called = compute_metrics(labels, probs, threshold=0.4), probs >= 0.4
    expected = {
        "balanced_accuracy": reference.balanced_accuracy_score(labels, called),
        "npv": reference.precision_score(labels, called, pos_label=0),
        "auprc": reference.average_precision_score(labels, probs),
        "brier": reference.brier_score_loss(labels, probs),
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert set(METRICS) <= set(got) and got["undefined"] == {}


ALL = np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.6, 0.2])


@pytest.mark.parametrize(
    ("labels", "threshold", "undefined"),
    [
        ([1, 1, 1, 1], 0.5, {"auroc", "auprc", "balanced_accuracy", "specificity"}),
        ([0, 0, 0, 0], 0.5, {"auroc", "auprc", "balanced_accuracy", "sensitivity", "recall"}),
        (
            [0, 0, 0, 0],
            1.1,
            {"auroc", "auprc", "balanced_accuracy", "sensitivity", "recall", "precision", "f1"},
        ),
        ([1, 0, 1, 0], 1.1, {"precision"}),
        ([1, 0, 1, 0], 0.0, {"npv"}),
        ([1, 0, 1, 0], 0.5, set()),
    ],
)
def test_undefined_figures_come_with_their_reasons(labels, threshold, undefined):
    got = compute_metrics(np.array(labels), ALL[1], threshold=threshold)
    assert set(got["undefined"]) == undefined == {name for name, value in got.items() if value is None}
    assert all("no film" in reason for reason in got["undefined"].values())
    json.dumps(got, allow_nan=False)  # the results file takes no NaN


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([], [], "no film"),
        ([0, 2], [0.1, 0.9], "expected 0"),
        ([0, 1], [0.1, np.nan], "outside 0 to 1"),
        ([0, 1], [0.1], "one of each a film"),
    ],
)
def test_input_without_an_answer_is_refused(labels, probs, message):
    with pytest.raises(PneumoError, match=message):
        compute_metrics(np.array(labels), np.array(probs), threshold=0.5)


def test_one_film_has_figures_and_no_interval():
    one = np.array(["x"])
    film = Predictions(np.array([1]), np.array([0.7]), one, one)
    got = compute_metrics(film.labels, film.probs, threshold=0.5)
    assert got["accuracy"] == 1 and got["brier"] == pytest.approx(0.09) and got["ece"] == pytest.approx(0.3)
    assert got["auroc"] is None
    assert compute_intervals(film, threshold=0.5) == dict.fromkeys(METRICS, (None, None))


def test_films_of_one_patient_have_no_interval():
    names = np.array(list("abcd"))
    films = Predictions(*ALL, np.full(4, "p"), names)
    assert compute_intervals(films, threshold=0.5)["accuracy"] == (None, None)


def test_predictive_values_worked_out_by_hand():
    # Of 1,000 children 100 are ill: 90 found, 10 missed; of 900 healthy 180 false alarms, 720 left alone.
    ppv, npv = compute_predictive_values(0.9, 0.8, prevalence=0.1)
    assert ppv == pytest.approx(90 / 270, abs=1e-12) and npv == pytest.approx(720 / 730, abs=1e-12)


def test_predictive_values_at_the_films_own_prevalence_are_precision_and_npv(predictions):
    got = compute_metrics(predictions.labels, predictions.probs, threshold=0.4)
    values = compute_predictive_values(
        got["sensitivity"], got["specificity"], prevalence=predictions.labels.mean()
    )
    assert values == pytest.approx((got["precision"], got["npv"]), abs=1e-12)


def test_predictive_values_are_undefined_where_nothing_is_called_so():
    ppv, npv = compute_predictive_values(np.array([0.0, 1.0]), np.array([1.0, 0.0]), prevalence=0.3)
    assert np.isnan(ppv[0]) and npv[0] == 0.7 and ppv[1] == 0.3 and np.isnan(npv[1])
    assert np.isnan(compute_predictive_values(None, 0.9, prevalence=0.3)[0])


@pytest.mark.parametrize("prevalence", [10, -0.1, np.nan])
def test_predictive_values_at_an_impossible_prevalence_are_refused(prevalence):
    with pytest.raises(UsageError, match="expected 0 to 1"):
        compute_predictive_values(0.5, 0.5, prevalence=prevalence)


def test_the_highest_accuracy_is_that_of_the_best_cut():
    labels, probs = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.4])
    # Cut at .4: one pneumonia is missed; at .2: one alarm is false. No cut is right for more than 4 of 5.
    assert compute_highest_accuracy(labels, probs) == pytest.approx(4 / 5)
    assert compute_highest_accuracy(labels, 1 - probs) == pytest.approx(3 / 5)  # calling all pneumonia
    assert compute_highest_accuracy(np.zeros(3, int), np.ones(3)) == 1  # a threshold above all of them


LABELS, PROBS, KEYS = np.array([0, 1]), np.array([0.2, 0.9]), np.array(["a", "b"])


def test_good_predictions_know_their_sizes():
    predictions = Predictions(LABELS, PROBS, np.array(["a", "a"]), KEYS)
    assert len(predictions) == 2 and predictions.num_patients == 1


@pytest.mark.parametrize("prob", [-0.01, 1.01, np.nan, np.inf])
def test_probabilities_out_of_range_are_refused(prob):
    with pytest.raises(PneumoError, match="outside 0 to 1"):
        Predictions(LABELS, np.array([0.5, prob]), KEYS, KEYS)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1], [0.5, 1], [np.nan, 1], ["0", "1"]])
def test_labels_other_than_0_and_1_are_refused(labels):
    with pytest.raises(PneumoError, match="expected 0"):
        Predictions(np.array(labels), PROBS, KEYS, KEYS)


@pytest.mark.parametrize("patient", ["", " ", None, np.nan, 7])
def test_a_film_without_a_patient_is_refused_by_name(patient):
    with pytest.raises(PneumoError, match="film b has the patient key"):
        Predictions(LABELS, PROBS, np.array(["a", patient], dtype=object), KEYS)


def test_no_film_at_all_is_refused():
    none = np.array([])
    with pytest.raises(PneumoError, match="no film"):
        Predictions(none, none, none.astype(str), none.astype(str))


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(PneumoError, match="one of each a film"):
        check_labels_and_probs(LABELS, np.array([0.5]))
    with pytest.raises(PneumoError, match="patients has shape"):
        Predictions(LABELS, PROBS, KEYS[:1], KEYS)
    with pytest.raises(PneumoError, match="one of each a film"):
        check_labels_and_probs(LABELS[None], PROBS[None])


def test_too_few_films_of_a_class_are_counted_in_the_message():
    with pytest.raises(PneumoError, match=r"Such a thing needs 1 or more .* got 0 NORMAL and 2 PNEUMONIA"):
        check_both_classes(np.array([1, 1]), "Such a thing")
    with pytest.raises(PneumoError, match="needs 2 or more"):
        check_both_classes(LABELS, "Such a thing", num_each=2)
    check_both_classes(LABELS, "Such a thing")


THRESHOLD = 0.4


@pytest.fixture(scope="module", params=[None, 1], ids=["no ties", "many ties"])
def scored(request):
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


def test_every_row_is_what_scikit_learn_gives_for_its_weights(scored, weights):
    got = compute_weighted_metrics(scored.labels, scored.probs, weights, threshold=THRESHOLD)
    for row, w in enumerate(weights):
        for name, value in compute_reference(scored.labels, scored.probs, w).items():
            assert got[name][row] == pytest.approx(value, abs=1e-9), name


def compute_slow_ece(labels, probs, counts):
    """The definition, with scored repeated one by one: a film's bin is 15 x the share of lower ones."""
    repeated = [(p, y) for p, y, k in zip(probs, labels, counts, strict=True) for _ in range(int(k))]
    bins = {}
    for p, y in repeated:
        lower = sum(other < p for other, _ in repeated)
        bins.setdefault(15 * lower // len(repeated), []).append((p, y))
    gaps = (abs(np.mean([p for p, _ in b]) - np.mean([y for _, y in b])) * len(b) for b in bins.values())
    return sum(gaps) / len(repeated)


def test_the_calibration_error_is_its_definition(scored):
    counts = np.random.default_rng(5).poisson(1.0, (6, 180)).astype(float)
    got = compute_weighted_metrics(scored.labels, scored.probs, counts, threshold=THRESHOLD)["ece"]
    for row, w in enumerate(counts):
        assert got[row] == pytest.approx(compute_slow_ece(scored.labels, scored.probs, w), abs=1e-9)


def test_the_calibration_error_has_scikit_learns_quantile_bins():
    # With 150 scored of different probability both kinds of bins hold 10 scored each.
    scored = simulate(150, seed=6)
    share, mean_prob = calibration_curve(scored.labels, scored.probs, n_bins=15, strategy="quantile")
    got = compute_weighted_metrics(scored.labels, scored.probs, np.ones((1, 150)), threshold=THRESHOLD)
    assert got["ece"][0] == pytest.approx(np.mean(np.abs(share - mean_prob)), abs=1e-9)


@pytest.mark.parametrize(
    ("labels", "probs", "expected"),
    [
        # Fewer scored than bins, each in a bin of its own: (0.1 + 0.7 + 0.4 + 0.1) / 4
        ([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.9], 0.325),
        # Ties are not torn apart: |0.5 - 3 / 4|
        ([1, 1, 1, 0], [0.5, 0.5, 0.5, 0.5], 0.25),
    ],
)
def test_calibration_errors_worked_out_by_hand(labels, probs, expected):
    got = compute_weighted_metrics(np.array(labels), np.array(probs), np.ones((1, 4)), threshold=0.5)
    assert got["ece"][0] == pytest.approx(expected, abs=1e-12)


def test_bins_hold_equally_many_films():
    scored = simulate(300, seed=7)
    bins = rank_films(scored.labels, scored.probs, np.ones((1, 300))).assign_bins()[0]
    assert np.array_equal(np.bincount(bins), np.full(15, 20))


def test_a_film_that_was_not_drawn_opens_no_bin():
    ranking = rank_films(np.array([0, 1, 1]), np.array([0.1, 0.5, 0.9]), np.array([[1.0, 1.0, 0.0]]))
    assert ranking.assign_bins().max() == 14


def test_equal_probabilities_rank_nothing():
    got = compute_weighted_metrics(np.array([0, 1, 1]), np.full(3, 0.3), np.ones((1, 3)), threshold=0.5)
    assert got["auroc"][0] == 0.5 and got["auprc"][0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("kept", "undefined"),
    [
        ([1, 1, 0, 0], {"sensitivity", "auroc", "auprc", "balanced_accuracy"}),  # the normal scored alone
        ([0, 0, 1, 1], {"specificity", "auroc", "auprc", "balanced_accuracy"}),
    ],
)
def test_a_row_without_a_class_leaves_undefined_what_needs_it(kept, undefined):
    labels, probs = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    got = compute_weighted_metrics(labels, probs, np.array([kept, [1, 1, 1, 1]], dtype=float), threshold=0.5)
    assert {name for name, values in got.items() if np.isnan(values[0])} == undefined
    assert all(np.isfinite(values[1]) for values in got.values())


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="threshold"):
        compute_weighted_metrics(np.array([0, 1]), np.array([0.1, 0.9]), np.ones((1, 2)), threshold=np.nan)


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


def test_one_patient_is_not_drawn():
    weights = draw_patient_weights(np.array(["p", "p"]), num_draws=50)
    assert weights.shape == (0, 2)  # all draws would be the same


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


@pytest.mark.long
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
