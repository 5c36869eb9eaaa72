"""From films to logits, from logits to probabilities, and which of these go to a person."""

import numpy as np
import pytest
import torch
from conftest import LeftHalf

from pneumo_utils.config import EvalTransform
from pneumo_utils.models.predict import compute_probs, find_refer_range, predict_logits
from pneumo_utils.models.registry import build_model


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_logits_do_not_depend_on_the_batch(batch_size):
    torch.manual_seed(0)
    model, transform = build_model("cnn_baseline"), EvalTransform(32)
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32), dtype=np.uint8)
    got = predict_logits(model, images, transform=transform, batch_size=batch_size)
    with torch.no_grad():
        expected = model.eval()(transform(torch.from_numpy(images))).numpy()
    assert got == pytest.approx(expected, abs=1e-5) and got.dtype == np.float64


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_flip_averaging_takes_the_mean_over_a_film_and_its_mirror_image(batch_size):
    films = np.zeros((3, 4, 4), np.uint8)
    films[0, :, :2] = 255  # left half 1, right half 0
    films[1, :, 2:] = 51  # left half 0, right half 0.2
    films[2] = 102  # both halves 0.4
    settings = {"transform": EvalTransform(4, mean=0.0, std=1.0), "batch_size": batch_size}
    assert predict_logits(LeftHalf(), films, **settings) == pytest.approx([1, 0, 0.4])
    assert predict_logits(LeftHalf(), films, flip_average=True, **settings) == pytest.approx([0.5, 0.1, 0.4])


def test_prediction_leaves_the_mode_as_it_was():
    model = build_model("cnn_baseline").train()
    before = model.features[0][1].running_mean.clone()
    predict_logits(model, np.full((4, 32, 32), 99, np.uint8), transform=EvalTransform(32))
    assert model.training and torch.equal(before, model.features[0][1].running_mean)


@pytest.mark.parametrize("flip_average", [False, True])
def test_no_films_give_no_logits(flip_average):
    empty, model = np.zeros((0, 32, 32), np.uint8), build_model("cnn_baseline")
    got = predict_logits(model, empty, transform=EvalTransform(32), flip_average=flip_average)
    assert got.shape == (0,)


def test_probabilities_are_the_logistic_function():
    logits = np.array([0.0, np.log(3), -np.log(3), 1e6, -1e6])
    assert compute_probs(logits) == pytest.approx([0.5, 0.75, 0.25, 1, 0])
    assert compute_probs(2 * logits, 2.0) == pytest.approx([0.5, 0.75, 0.25, 1, 0])


@pytest.mark.parametrize(
    ("limits", "threshold", "expected"),
    [
        ((0.6, 0.7), 0.5, (0.3, 0.6)),  # both classes from 0.3 to 0.6
        ((0.3, 0.25), 0.5, (0.3, 0.75)),  # neither between 0.3 and 0.75
        ((0.3, 0.25), 0.9, (0.3, 0.9)),  # from 0.75 on {PNEUMONIA}, which below 0.9 the threshold denies
        ((0.3, 0.25), 0.1, (0.1, 0.75)),
    ],
)
def test_what_goes_to_a_person_worked_out_by_hand(limits, threshold, expected):
    assert find_refer_range(limits, threshold) == pytest.approx(expected)
