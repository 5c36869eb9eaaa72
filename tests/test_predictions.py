"""Input that no figure can be computed from is refused with the reason."""

import numpy as np
import pytest

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import Predictions, check_both_classes, check_labels_and_probs

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
