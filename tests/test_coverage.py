"""Films with the lungs covered, or all else, and what a model's ranking loses by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import compute_interval, draw_patient_weights
from pneumo_utils.evaluation.saliency import (
    COVER_GREY,
    compute_coverage,
    cover_lungs,
    cover_rest,
    make_lung_mask,
)

LUNGS = make_lung_mask(32)


def make_films(levels, *, inside: bool) -> np.ndarray:
    """Films of 32 px, of one grey level each inside the lungs, or outside; noise of one kind elsewhere."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    films = np.tile(noise, (len(levels), 1, 1))
    films[:, inside == LUNGS] = np.array(levels, np.uint8)[:, None]
    return films


def make_dataset(images: np.ndarray, labels, patients=None) -> XrayDataset:
    names = np.array([f"film{i}" for i in range(len(images))])
    patients = names if patients is None else np.array(patients)
    return XrayDataset(images, np.array(labels), patients, names, names, "synthetic", "val")


def predict_brightness(films: XrayDataset) -> np.ndarray:
    return films.images.mean((1, 2)) / 255


def test_the_two_covers_share_the_film_between_them():
    films = np.random.default_rng(1).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    before = films.copy()
    lungs, rest = cover_lungs(films), cover_rest(films)
    assert lungs.dtype == rest.dtype == np.uint8
    assert (lungs[:, LUNGS] == COVER_GREY).all() and (rest[:, ~LUNGS] == COVER_GREY).all()
    np.testing.assert_array_equal(lungs[:, ~LUNGS], films[:, ~LUNGS])
    np.testing.assert_array_equal(rest[:, LUNGS], films[:, LUNGS])
    np.testing.assert_array_equal(films, before)


def test_the_cover_says_nothing_of_what_lies_under_it():
    # Films that differ under the cover only are the same film once it is on.
    for inside, cover in ((True, cover_lungs), (False, cover_rest)):
        films = make_films([0, 90, 255], inside=inside)
        assert len(np.unique(films, axis=0)) == 3 and len(np.unique(cover(films), axis=0)) == 1


def test_to_the_networks_the_cover_is_about_zero():
    film = torch.full((1, 8, 8), COVER_GREY, dtype=torch.uint8)
    # One grey level is 1 / 255 / 0.226 = 0.017 of the network's input; rounding costs half of that at most.
    assert EvalTransform(8)(film).abs().max() < 0.0087


@pytest.mark.parametrize(
    "films", [np.zeros((2, 8, 8)), np.zeros((8, 8), np.uint8), np.zeros((2, 8, 9), np.uint8)]
)
@pytest.mark.parametrize("cover", [cover_lungs, cover_rest])
def test_other_films_are_refused(films, cover):
    with pytest.raises(ValueError, match=r"expected uint8 \(N, S, S\)"):
        cover(films)


def test_no_film_is_covered_as_no_film():
    assert cover_lungs(np.zeros((0, 8, 8), np.uint8)).shape == (0, 8, 8)


# Levels 10 and 40 for normal, 30 and 60 for pneumonia: of four pairs only (40, 30) is ranked wrongly: 3 / 4.
LEVELS, LABELS = [10, 40, 30, 60], [0, 0, 1, 1]


PLACES = [(True, "lungs_covered", "rest_covered"), (False, "rest_covered", "lungs_covered")]


@pytest.mark.parametrize(("inside", "covered", "free"), PLACES)
def test_a_brightness_that_lies_in_one_place_is_lost_with_it(inside, covered, free):
    coverage = compute_coverage(predict_brightness, make_dataset(make_films(LEVELS, inside=inside), LABELS))
    assert coverage["whole"] == coverage[free] == 0.75
    assert coverage[covered] == 0.5  # all films the same: nothing but ties


def test_all_that_is_known_of_the_films_is_handed_on():
    films, seen = make_dataset(make_films(LEVELS, inside=True), LABELS), []

    def predict(covered):
        seen.append(covered.images)
        assert replace(covered, images=films.images).fingerprint() == films.fingerprint()
        covered.images[:] = 0  # a careless model must not reach the films
        return np.full(4, 0.5)

    before = films.images.copy()
    compute_coverage(predict, films)
    assert len(seen) == 3 and np.array_equal(films.images, before)


def test_the_intervals_are_those_of_a_bootstrap_by_patient():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 20)
    levels = rng.integers(40, 160, 40) + 40 * labels
    patients = [f"p{i // 2}" for i in range(40)]  # two films each
    films = make_dataset(make_films(levels, inside=True), labels, patients)
    coverage = compute_coverage(predict_brightness, films, num_draws=300, seed=5)
    normal, ill = levels[:20], levels[20:]
    wins = (ill[:, None] > normal) + 0.5 * (ill[:, None] == normal)  # of each pair
    assert coverage["whole"] == pytest.approx(wins.mean())
    draws = []
    for weights in draw_patient_weights(films.patients, num_draws=300, seed=5):
        pairs = weights[20:, None] * weights[:20]
        draws.append((wins * pairs).sum() / pairs.sum())
    expected = compute_interval(np.array(draws))
    assert coverage["intervals"]["whole"] == pytest.approx(expected)
    assert coverage["intervals"]["rest_covered"] == pytest.approx(expected)
    assert coverage["intervals"]["lungs_covered"] == (0.5, 0.5)


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 0, 0, 0], []])
def test_without_both_classes_there_is_no_figure(labels):
    films = make_dataset(make_films(LEVELS[: len(labels)], inside=True), np.array(labels, np.int64))
    coverage = compute_coverage(pytest.fail, films)  # is not even asked
    names = ("whole", "lungs_covered", "rest_covered")
    assert coverage == dict.fromkeys(names) | {"intervals": dict.fromkeys(names, (None, None))}


def test_films_of_one_patient_have_figures_and_no_intervals():
    films = make_dataset(make_films(LEVELS, inside=True), LABELS, ["p"] * 4)
    coverage = compute_coverage(predict_brightness, films)
    assert coverage["whole"] == 0.75 and set(coverage["intervals"].values()) == {(None, None)}


def test_what_is_no_probability_is_refused():
    films = make_dataset(make_films(LEVELS, inside=True), LABELS)
    with pytest.raises(PneumoError, match="outside 0 to 1"):
        compute_coverage(lambda films: np.array([0.1, 0.2, 0.3, 4.0]), films)
