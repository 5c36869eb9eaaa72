"""The row of results of a checkpoint on a split: what it holds and what it says of the films."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_checkpoint, make_left_half
from sklearn.metrics import roc_auc_score

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.evaluate import evaluate, predict_dataset
from pneumo_utils.evaluation.metrics import compute_intervals
from pneumo_utils.evaluation.robustness import stretch_films


@pytest.fixture(scope="module")
def checkpoint():
    return make_checkpoint(temperature=2.0)


def test_a_row_of_results_says_what_it_is(checkpoint):
    films = make_phantoms(40, image_size=32, split="test")
    row, predictions = evaluate(checkpoint, films)
    called = predictions.probs >= checkpoint.threshold
    assert row["accuracy"] == pytest.approx((called == films.labels).mean())
    assert (row["model"], row["split"], row["data"], row["n"]) == ("cnn_baseline", "test", "synthetic", 40)
    assert row["chosen_on"] == "val" and row["num_skipped"] == 0
    low, high = row["intervals"]["accuracy"]
    assert low <= row["accuracy"] <= high
    json.dumps(row, allow_nan=False)


def test_a_row_judges_the_screening_threshold_beside_the_balanced_one(checkpoint):
    films = make_phantoms(40, image_size=32, split="test")
    probs = predict_dataset(checkpoint, films).probs
    low = float(np.quantile(probs[films.labels == 1], 0.2))  # four of five pneumonias are found
    row, predictions = evaluate(replace(checkpoint, screening_threshold=low), films)
    called = probs >= low
    screening = row["screening"]
    assert screening["threshold"] == low and row["threshold"] == checkpoint.threshold
    assert screening["sensitivity"] == pytest.approx(called[films.labels == 1].mean())
    assert screening["specificity"] == pytest.approx((~called)[films.labels == 0].mean())
    assert screening["accuracy"] == pytest.approx((called == films.labels).mean())
    assert (
        screening["intervals"]["specificity"] == compute_intervals(predictions, threshold=low)["specificity"]
    )
    json.dumps(row, allow_nan=False)


def test_a_row_without_a_screening_threshold_says_none(checkpoint):
    row, _ = evaluate(checkpoint, make_phantoms(8, image_size=32, split="test"))
    assert row["screening"] is None and row["flip_average"] is False and row["num_members"] == 1


@pytest.mark.parametrize("flip_average", [False, True])
def test_a_row_says_what_the_ranking_loses_by_stretch(flip_average):
    films = make_phantoms(40, image_size=32, split="test")
    judged = make_left_half(image_size=32, flip_average=flip_average)
    row, _ = evaluate(judged, films)
    wider = replace(films, images=stretch_films(films.images, width=1.2))
    means = [f.images[..., : 32 if flip_average else 16].mean((1, 2)) for f in (films, wider)]
    before, after = (roc_auc_score(films.labels, mean) for mean in means)
    assert row["auroc"] == pytest.approx(before) and row["flip_average"] is flip_average
    assert row["stretch_auroc_loss"]["wider"] == pytest.approx(before - after)
    assert set(row["stretch_auroc_loss"]) == {"wider", "narrower", "taller", "flatter"}


def test_films_of_one_class_have_no_stretch_loss(checkpoint):
    films = make_phantoms(20, image_size=32, split="test")
    row, _ = evaluate(checkpoint, films.select(films.labels == 1))
    assert row["stretch_auroc_loss"] is None and row["auroc"] is None
