"""Curves and bands against scikit-learn, curve by curve."""

import numpy as np
import pytest
from simulated import simulate
from sklearn.metrics import precision_recall_curve, roc_curve

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.curves import compute_precision_recall_band, compute_roc_band
from pneumo_utils.evaluation.metrics import Predictions, draw_patient_weights


@pytest.fixture(scope="module", params=[None, 1], ids=["no ties", "many ties"])
def films(request):
    return simulate(70, seed=11, max_films=3, decimals=request.param)


def trace_slow_roc(labels, probs, x):
    """Between two corners of the curve on a straight line; above a corner its highest point."""
    false_alarms, found, _ = roc_curve(labels, probs, drop_intermediate=False)
    left = np.flatnonzero(false_alarms <= x)[-1]
    if false_alarms[left] == x:
        return found[left]
    share = (x - false_alarms[left]) / (false_alarms[left + 1] - false_alarms[left])
    return found[left] + share * (found[left + 1] - found[left])


def trace_slow_precision(labels, probs, x):
    """At the highest of the thresholds that reach the recall."""
    precision, recall, _ = precision_recall_curve(labels, probs)
    return precision[np.flatnonzero(recall >= x)[-1]]


CURVES = [(compute_roc_band, trace_slow_roc), (compute_precision_recall_band, trace_slow_precision)]


@pytest.mark.parametrize(("compute", "trace"), CURVES, ids=["ROC", "precision-recall"])
def test_the_curve_and_its_band_are_scikit_learns(films, compute, trace):
    got = compute(films, num_draws=25, seed=3)
    assert got.value == pytest.approx([trace(films.labels, films.probs, x) for x in got.x], abs=1e-9)
    curves = []
    for counts in draw_patient_weights(films.patients, num_draws=25, seed=3):
        index = np.repeat(np.arange(len(films)), counts.astype(int))
        curves.append([trace(films.labels[index], films.probs[index], x) for x in got.x])
    assert got.low == pytest.approx(np.quantile(curves, 0.025, axis=0), abs=1e-9)
    assert got.high == pytest.approx(np.quantile(curves, 0.975, axis=0), abs=1e-9)


def test_corners_worked_out_by_hand():
    # From the top: ill, healthy, ill, healthy. ROC corners (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1).
    names = np.array(list("abcd"))
    films = Predictions(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.4, 0.1]), names, names)
    roc = compute_roc_band(films, num_draws=50)
    assert roc.value[[0, 25, 50, 100]].tolist() == [0.5, 0.5, 1, 1]
    curve = compute_precision_recall_band(films, num_draws=50)
    at = dict(zip(np.round(100 * curve.x).astype(int), curve.value, strict=True))
    assert at[1] == at[50] == 1 and at[51] == at[100] == pytest.approx(2 / 3)


@pytest.mark.parametrize("compute", [compute_roc_band, compute_precision_recall_band])
def test_a_perfect_model_has_a_band_without_width(compute):
    films = simulate(60, seed=0)
    perfect = Predictions(films.labels, films.labels.astype(float), films.patients, films.names)
    got = compute(perfect, num_draws=40)
    assert np.all(got.low == 1) and np.all(got.value == 1) and np.all(got.high == 1)


@pytest.mark.parametrize("compute", [compute_roc_band, compute_precision_recall_band])
def test_one_class_or_one_patient_has_no_band(compute):
    names, probs = np.array(list("abc")), np.array([0.1, 0.5, 0.9])
    with pytest.raises(PneumoError, match="films of each class"):
        compute(Predictions(np.array([1, 1, 1]), probs, names, names))
    with pytest.raises(PneumoError, match="1 patient"):
        compute(Predictions(np.array([0, 1, 1]), probs, np.full(3, "p"), names))
