"""Figures against scikit-learn and plain loops."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.compare import compare_models
from pneumo_utils.evaluation.metrics import (
    METRICS,
    Predictions,
    compute_draws,
    compute_highest_accuracy,
    compute_intervals,
    compute_metrics,
    compute_predictive_values,
    draw_patient_weights,
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


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_probabilities_out_of_range_are_refused(value):
    one = np.array(["x"])
    with pytest.raises(PneumoError, match="outside 0 to 1"):
        Predictions(np.array([1]), np.array([value]), one, one)


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


def test_a_model_does_not_differ_from_itself(predictions):
    for difference in compare_models(predictions, predictions, thresholds=(0.4, 0.4)):
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        assert not difference.is_clear


def test_a_clear_difference_is_called_clear(predictions):
    perfect = Predictions(
        predictions.labels, predictions.labels.astype(float), predictions.patients, predictions.names
    )
    auroc = compare_models(predictions, perfect, thresholds=(0.4, 0.5))[METRICS.index("auroc")]
    expected = 1 - reference.roc_auc_score(predictions.labels, predictions.probs)
    assert auroc.value == pytest.approx(expected) and auroc.is_clear
    assert auroc.describe("A", "B").startswith("auroc: B is better than A by")


def test_other_films_cannot_be_compared(predictions):
    other = Predictions(predictions.labels, predictions.probs, predictions.patients, predictions.names[::-1])
    with pytest.raises(PneumoError, match="different films"):
        compare_models(predictions, other, thresholds=(0.5, 0.5))


def test_a_model_that_calls_nothing_pneumonia_has_no_precision_and_breaks_nothing(predictions):
    intervals = compute_intervals(predictions, threshold=1.1)
    assert intervals["precision"] == (None, None) and intervals["sensitivity"] == (0, 0)
    names = [d.metric for d in compare_models(predictions, predictions, thresholds=(1.1, 0.4))]
    assert names == [name for name in METRICS if name != "precision"]


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


@pytest.mark.parametrize("values", [(1.2, 0.5, 0.1), (0.5, -0.1, 0.1), (0.5, 0.5, 10), (0.5, 0.5, np.nan)])
def test_predictive_values_of_impossible_numbers_are_refused(values):
    with pytest.raises(UsageError, match="expected 0 to 1"):
        compute_predictive_values(*values[:2], prevalence=values[2])


def test_the_highest_accuracy_is_that_of_the_best_cut():
    labels, probs = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.4])
    # Cut at .4: one pneumonia is missed; at .2: one alarm is false. No cut is right for more than 4 of 5.
    assert compute_highest_accuracy(labels, probs) == pytest.approx(4 / 5)
    assert compute_highest_accuracy(labels, 1 - probs) == pytest.approx(3 / 5)  # calling all pneumonia
    assert compute_highest_accuracy(np.zeros(3, int), np.ones(3)) == 1  # a threshold above all of them
    with pytest.raises(PneumoError):
        compute_highest_accuracy(labels, probs + 1)
