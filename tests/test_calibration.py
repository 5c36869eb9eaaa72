"""Flip averaging, temperature and thresholds against brute force and known cases."""

import numpy as np
import pytest
from conftest import make_left_half

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.training.thresholds import (
    SCREENING_SENSITIVITY,
    calibrate,
    choose_operating_points,
    choose_screening_threshold,
    choose_threshold,
    fit_temperature,
)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4000)
    return labels, rng.normal(np.where(labels == 1, 1.0, -1.0), 1.0)


def test_the_temperature_undoes_a_known_scale(drawn):
    # For unit normals at +1 and -1 the true logit of x is 2 x. Logits of 6 x are too certain by 3.
    labels, x = drawn
    assert fit_temperature(6 * x, labels) == pytest.approx(3, rel=0.1)
    assert fit_temperature(6 * x, labels) == pytest.approx(3 * fit_temperature(2 * x, labels), rel=1e-3)


def test_the_temperature_is_the_best_on_a_grid(drawn):
    labels, x = drawn
    signed = np.where(labels == 1, x, -x)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    losses = [np.log1p(np.exp(-signed / t)).mean() for t in grid]
    assert fit_temperature(x, labels) == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)


def test_perfect_ranking_puts_the_threshold_halfway():
    assert choose_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])) == pytest.approx(0.4)


def test_the_threshold_balances_sensitivity_and_specificity(drawn):
    labels, x = drawn
    probs = 1 / (1 + np.exp(-2 * x))
    threshold = choose_threshold(labels, probs)
    called = probs >= threshold
    gap = abs(called[labels == 1].mean() - (~called)[labels == 0].mean())
    candidates = np.unique(probs)
    best = min(
        abs((probs >= t)[labels == 1].mean() - (probs < t)[labels == 0].mean()) for t in candidates[::7]
    )
    assert gap <= best + 1e-12


@pytest.mark.parametrize("probs", [[0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
def test_ties_and_extremes_give_a_threshold_in_range(probs):
    assert 0 <= choose_threshold(np.array([0, 1, 0, 1]), np.array(probs)) <= 1


@pytest.mark.parametrize("sensitivity", [0.05, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_screening_threshold_is_the_best_of_all(seed, sensitivity):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, 58), [0, 1])
    probs = np.round(np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1), 2)  # rounded: many ties
    candidates = np.unique(probs)
    best = max(t for t in candidates if (probs[labels == 1] >= t).mean() >= sensitivity)
    got = choose_screening_threshold(labels, probs, sensitivity=sensitivity)
    assert np.array_equal(probs >= got, probs >= best)  # the same films are called pneumonia
    below = candidates[candidates < best]
    assert got == pytest.approx((best + below[-1]) / 2 if len(below) else best)


def test_screening_misses_one_in_twenty_at_most():
    # Of 80 pneumonias 4 may be missed at 95 %: the fourth and the fifth lowest lie at 0.515 and 0.52.
    probs = np.append(0.5 + 0.005 * np.arange(80), 0.1)
    labels = np.append(np.ones(80, int), 0)
    assert choose_screening_threshold(labels, probs) == pytest.approx((0.515 + 0.52) / 2)
    assert SCREENING_SENSITIVITY == 0.95


@pytest.mark.parametrize("probs", [[0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
def test_ties_and_extremes_give_a_screening_threshold_that_finds_all(probs):
    labels, probs = np.array([0, 1, 0, 1]), np.array(probs)
    threshold = choose_screening_threshold(labels, probs, sensitivity=1.0)
    assert 0 <= threshold <= 1 and (probs[labels == 1] >= threshold).all()


def test_the_operating_points_are_those_worked_out_by_hand():
    labels = np.array([0, 0, 1, 1])
    plain, stressed = np.array([-2.0, 1.0, -1.0, 2.0]), np.array([-1.5, 0.5, 0.3, 0.8])
    points = choose_operating_points(plain, labels, stressed, labels)
    assert points["temperature"] == pytest.approx(fit_temperature(plain, labels))

    def prob(logit):
        return 1 / (1 + np.exp(-logit / points["temperature"]))

    # Downwards, P for pneumonia: 2 P, 1 N, .8 P, .5 N, .3 P, -1 P, -1.5 N, -2 N. At .5 two of four of each
    # class are called rightly, and nowhere else are the two shares as close; the next lower logit is .3.
    assert points["threshold"] == pytest.approx((prob(0.5) + prob(0.3)) / 2)
    # Both plain pneumonias are found from -1 downwards, the next lower plain logit is -2; both stressed
    # ones from .3 downwards, the next lower stressed logit is -1.5. The lower point keeps it on both.
    plain_point, stressed_point = (prob(-1) + prob(-2)) / 2, (prob(0.3) + prob(-1.5)) / 2
    assert points["screening_threshold"] == pytest.approx(min(plain_point, stressed_point))
    assert set(points) == {"temperature", "threshold", "screening_threshold"}


@pytest.mark.parametrize("num_views", [1, 2, 3])
def test_plain_and_stressed_films_have_half_a_say_each(num_views):
    rng = np.random.default_rng(num_views)
    labels = np.array([0, 1] * 15)
    plain = rng.normal(4 * labels - 2, 2)
    stressed = rng.normal(np.tile(labels, num_views) - 0.5, 2)  # view after view
    points = choose_operating_points(plain, labels, stressed, np.tile(labels, num_views))
    both = np.concatenate([plain] * num_views + [stressed])  # as many plain ones as stressed ones
    both_labels = np.concatenate([labels] * (2 * num_views))
    probs = 1 / (1 + np.exp(-both / points["temperature"]))
    assert points["threshold"] == pytest.approx(choose_threshold(both_labels, probs))
    kinds = ((labels, plain), (np.tile(labels, num_views), stressed))
    lowest = min(
        choose_screening_threshold(films, 1 / (1 + np.exp(-logits / points["temperature"])))
        for films, logits in kinds
    )
    assert points["screening_threshold"] == pytest.approx(lowest)
    assert points["temperature"] == pytest.approx(fit_temperature(plain, labels))


def make_films(normal: tuple[int, int], pneumonia: tuple[int, int], *, num_each: int = 3) -> XrayDataset:
    """Films of 4 px with one grey level on the left and one on the right, by class."""
    labels = np.repeat([0, 1], num_each)
    halves = np.array([normal, pneumonia], np.uint8)[labels]
    images = np.repeat(np.repeat(halves, 2, axis=1)[:, None], 4, axis=1)
    names = np.array([f"f{i}" for i in range(len(labels))])
    return XrayDataset(images, labels, names, names, names, "synthetic", "val")


PLAIN = make_films((51, 51), (204, 204))  # logits .2 and .8, mirrored or not


@pytest.mark.parametrize(
    ("stressed", "flip", "stress_auroc"),
    [
        # As they are .4 and .6, the right order; averaged with the mirror image .4 and .3.
        (make_films((102, 102), (153, 0)), False, 1.0),
        # As they are .6 and .4, the wrong order; averaged (.6 + 0) / 2 = .3 and .4.
        (make_films((153, 0), (102, 102)), True, 1.0),
        # No difference either way: .4 and .6.
        (make_films((102, 102), (153, 153)), True, 1.0),
        # The wrong order either way: .6 and .4.
        (make_films((153, 153), (102, 102)), True, 0.0),
    ],
)
def test_mirror_images_are_averaged_in_where_stressed_films_are_ranked_no_worse(stressed, flip, stress_auroc):
    before = make_left_half(image_size=4, val_metrics={"epoch": 7, "auroc": 0.1})
    after = calibrate(before, PLAIN, stressed)
    assert after.flip_average is flip
    assert after.val_metrics["stress_auroc"] == stress_auroc
    assert after.val_metrics["auroc"] == 1.0 and after.val_metrics["epoch"] == 7
    assert after.state is before.state and after.config == before.config


def test_the_choices_follow_from_the_logits_that_will_be_used():
    before = make_left_half(image_size=4)
    after = calibrate(before, PLAIN, make_films((153, 0), (102, 102)))  # with the mirror images .3 and .4
    # Downwards: .8 P, .4 P (stressed), .3 N (stressed), .2 N: both thresholds lie between .4 and .3.
    expected = np.mean([1 / (1 + np.exp(-logit / after.temperature)) for logit in (0.4, 0.3)])
    assert after.threshold == pytest.approx(expected, abs=1e-6)
    assert after.screening_threshold == pytest.approx(expected, abs=1e-6)
    assert after.temperature == pytest.approx(
        fit_temperature(np.array([0.2, 0.8]), np.array([0, 1])), rel=1e-3
    )
    assert after.val_metrics["accuracy"] == 1.0


def test_the_refer_band_is_fitted_on_the_plain_films():
    plain = make_films((51, 51), (204, 204), num_each=20)  # k = 21 * 0.95 rounded up is 20, the highest score
    after = calibrate(make_left_half(image_size=4), plain, make_films((102, 102), (153, 153), num_each=20))
    normal, ill = (1 / (1 + np.exp(-logit / after.temperature)) for logit in (0.2, 0.8))
    assert after.refer_limits == pytest.approx((normal, 1 - ill), abs=1e-6)


def test_the_accuracy_is_that_of_plain_films_at_the_threshold():
    plain, stressed = make_films((51, 51), (204, 204)), make_films((230, 230), (102, 102))
    before = make_left_half(image_size=4)
    after = calibrate(before, plain, stressed)
    # Downwards: .902 N, .8 P, .4 P, .2 N. At .8 half of each class is called rightly, which is as close as it
    # gets, so the threshold lies between .8 and .4: all plain films are called rightly and no stressed one.
    low, high = (1 / (1 + np.exp(-logit / after.temperature)) for logit in (0.4, 0.8))
    assert low < after.threshold < high
    assert after.val_metrics["accuracy"] == 1.0 and after.val_metrics["stress_auroc"] == 0.0
