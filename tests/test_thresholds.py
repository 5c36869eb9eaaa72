"""Temperature, operating points, calibration and refer band against brute force and known cases."""

import numpy as np
import pytest
from conftest import make_left_half
from simulated import simulate

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.predict import compute_probs, find_refer_range
from pneumo_utils.training import thresholds
from pneumo_utils.training.thresholds import (
    RULE_IN_SPECIFICITY,
    SCREENING_SENSITIVITY,
    ReferBand,
    calibrate,
    choose_operating_points,
    choose_rule_in_threshold,
    choose_screening_threshold,
    choose_settings,
    choose_threshold,
    fit_refer_band,
    fit_temperature,
    predict_sets,
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
def test_the_screening_threshold_is_the_best_of_all(seed, sensitivity, monkeypatch):
    monkeypatch.setattr(thresholds, "SCREENING_SENSITIVITY", sensitivity)
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, 58), [0, 1])
    probs = np.round(np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1), 2)  # rounded: many ties
    candidates = np.unique(probs)
    best = max(t for t in candidates if (probs[labels == 1] >= t).mean() >= sensitivity)
    got = choose_screening_threshold(labels, probs)
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
    threshold = choose_screening_threshold(labels, probs)
    assert 0 <= threshold <= 1 and (probs[labels == 1] >= threshold).all()


@pytest.mark.parametrize("specificity", [0.05, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_rule_in_threshold_is_the_best_of_all(seed, specificity, monkeypatch):
    monkeypatch.setattr(thresholds, "RULE_IN_SPECIFICITY", specificity)
    films = simulate(60, seed=seed, decimals=2)
    normal = films.probs[films.labels == 0]
    candidates = np.append(np.unique(films.probs), 1.001)
    best = min(t for t in candidates if (normal < t).mean() >= specificity)
    got = choose_rule_in_threshold(films.labels, films.probs)
    assert 0 <= got <= 1 and np.array_equal(films.probs >= got, films.probs >= best)
    below = candidates[candidates < best]
    assert got == pytest.approx((min(best, 1) + below[-1]) / 2 if len(below) else best)


def test_ruling_in_leaves_95_of_100_healthy_alone():
    # Of 80 normal films 4 may be called. The fifth and the fourth from the top lie at 0.475 and 0.48.
    probs = np.append(0.5 - 0.005 * np.arange(1, 81), 0.9)
    labels = np.append(np.zeros(80, int), 1)
    assert choose_rule_in_threshold(labels, probs) == pytest.approx((0.475 + 0.48) / 2)
    assert RULE_IN_SPECIFICITY == 0.95


def test_normal_films_at_the_top_leave_a_threshold_that_calls_nothing():
    labels = np.array([0, 1, 0, 1])
    between = choose_rule_in_threshold(labels, np.array([0.8, 0.7, 0.2, 0.1]))
    assert between == pytest.approx(0.9)  # halfway from 0.8 to 1
    above = choose_rule_in_threshold(labels, np.array([1.0, 1.0, 0.2, 0.1]))
    assert 1 < above < 1 + 1e-12


def test_neighbouring_floats_are_told_apart():
    low = 0.5
    high = np.nextafter(low, 1)
    threshold = choose_rule_in_threshold(np.array([0, 1]), np.array([low, high]))
    assert low < threshold <= high


def draw_films(rng: np.random.Generator, labels: np.ndarray, num_views: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of some copies of each film: told apart well, badly or the wrong way round."""
    labels = np.tile(labels, num_views)
    scores = rng.uniform(-2, 8) * (labels - 0.5) + rng.uniform(-3, 3) + rng.standard_normal(len(labels))
    return labels, np.round(compute_probs(3 * scores), rng.integers(1, 9))  # many tie; many are 0 or 1


def test_rule_in_is_never_below_balanced_nor_balanced_below_screening_and_promises_are_kept():
    rng, num_moved = np.random.default_rng(0), {"screening": 0, "rule_in": 0}
    for _ in range(500):
        labels = np.append(rng.integers(0, 2, rng.integers(0, 60)), [0, 1])
        plain, stressed = draw_films(rng, labels, 1), draw_films(rng, labels, rng.integers(1, 4))
        stress = {"stress_labels": stressed[0], "stress_probs": stressed[1]}
        points = choose_operating_points(*plain, **stress)
        assert points["rule_in"] >= points["balanced"] >= points["screening"] >= 0
        for of, probs in (plain, stressed):
            assert (probs[of == 1] >= points["screening"]).mean() >= SCREENING_SENSITIVITY
            assert (probs[of == 0] < points["rule_in"]).mean() >= RULE_IN_SPECIFICITY
        num_moved["screening"] += points["screening"] == points["balanced"]
        num_moved["rule_in"] += points["rule_in"] == points["balanced"]
        own = dict(zip(("balanced", "screening"), rng.random(2), strict=True))  # as an old checkpoint may be
        kept = choose_operating_points(*plain, **stress, **own)
        assert kept["balanced"] == own["balanced"] and kept["screening"] == min(own.values())
        assert kept["rule_in"] >= kept["balanced"]
    assert min(num_moved.values()) > 20  # films that are told apart easily are among them


def test_where_both_promises_are_easy_neither_point_passes_the_balanced_one():
    labels, probs = np.repeat([0, 1], 40), np.arange(80) / 100
    # All are told apart. Alone, screening lies between the second and third lowest of the ill, rule-in
    # between the second and third highest of the healthy; the balanced point is between the classes.
    assert choose_screening_threshold(labels, probs) == pytest.approx((0.41 + 0.42) / 2)
    assert choose_rule_in_threshold(labels, probs) == pytest.approx((0.37 + 0.38) / 2)
    points = choose_operating_points(labels, probs, stress_labels=labels, stress_probs=probs)
    assert points == dict.fromkeys(("balanced", "screening", "rule_in"), pytest.approx((0.39 + 0.4) / 2))


def test_the_points_of_a_checkpoint_stay():
    films = simulate(200, seed=1)
    stress = {"stress_labels": films.labels, "stress_probs": films.probs}
    chosen = choose_operating_points(films.labels, films.probs, **stress)
    assert chosen["screening"] < chosen["balanced"] < chosen["rule_in"]
    assert chosen == {
        "balanced": choose_threshold(films.labels, films.probs),
        "screening": choose_screening_threshold(films.labels, films.probs),
        "rule_in": choose_rule_in_threshold(films.labels, films.probs),
    }
    kept = choose_operating_points(films.labels, films.probs, **stress, balanced=0.4, screening=0.3)
    assert kept == {"balanced": 0.4, "screening": 0.3, "rule_in": chosen["rule_in"]}
    high = choose_operating_points(films.labels, films.probs, **stress, balanced=0.99)
    assert high == {"balanced": 0.99, "screening": chosen["screening"], "rule_in": 0.99}


def test_points_need_both_classes():
    labels, probs = np.array([1, 1]), np.array([0.2, 0.8])
    with pytest.raises(PneumoError, match="0 NORMAL and 2 PNEUMONIA"):
        choose_operating_points(labels, probs, stress_labels=labels, stress_probs=probs)


def test_the_thresholds_of_a_checkpoint_are_those_worked_out_by_hand():
    labels = np.array([0, 0, 1, 1])
    plain, stressed = np.array([-2.0, 1.0, -1.0, 2.0]), np.array([-1.5, 0.5, 0.3, 0.8])
    points = choose_settings(labels, plain, stress_labels=labels, stress_logits=stressed)
    both = np.concatenate([plain, stressed])
    assert points["temperature"] == pytest.approx(fit_temperature(both, np.tile(labels, 2)))

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
    views = np.tile(labels, num_views)
    points = choose_settings(labels, plain, stress_labels=views, stress_logits=stressed)
    both = np.concatenate([plain] * num_views + [stressed])  # as many plain ones as stressed ones
    both_labels = np.concatenate([labels] * (2 * num_views))
    probs = 1 / (1 + np.exp(-both / points["temperature"]))
    assert points["threshold"] == pytest.approx(choose_threshold(both_labels, probs))
    kinds = ((labels, plain), (views, stressed))
    lowest = min(
        choose_screening_threshold(films, 1 / (1 + np.exp(-logits / points["temperature"])))
        for films, logits in kinds
    )
    assert points["screening_threshold"] == pytest.approx(lowest)
    assert points["temperature"] == pytest.approx(fit_temperature(both, both_labels))


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
        (make_films((102, 102), (153, 153)), False, 1.0),
        # The wrong order either way: .6 and .4.
        (make_films((153, 153), (102, 102)), False, 0.0),
    ],
)
def test_mirror_images_are_averaged_in_where_stressed_films_are_ranked_better(stressed, flip, stress_auroc):
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
        fit_temperature(np.array([0.2, 0.8, 0.3, 0.4]), np.array([0, 1, 0, 1])), rel=1e-3
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


def test_limits_worked_out_by_hand():
    # 19 normal films: k = 20 * 0.9 = 18, the second highest. 9 ill ones: k = 10 * 0.9 = 9, the lowest.
    normal, ill = np.arange(1, 20) / 40, 1 - np.arange(1, 10) / 100
    labels, probs = [0] * 19 + [1] * 9, np.append(normal, ill)
    assert fit_refer_band(labels, probs, alpha=0.1).limits == pytest.approx((18 / 40, 0.09))


def test_too_few_films_leave_no_class_out():
    # 9 films of a class cannot show an error rate of 5 %: k = 10 * 0.95 rounded up is 10.
    labels, probs = [0] * 9 + [1] * 9, np.append(np.full(9, 0.1), np.full(9, 0.9))
    band = fit_refer_band(labels, probs, alpha=0.05)
    assert band.limits == (1.0, 1.0) and predict_sets(band, np.array([0.0, 0.5, 1.0])).all()


def test_rounding_does_not_move_the_rank():
    # 19 + 1 films times 1 - 0.15 is 17, and a hair more or less in floats.
    labels, probs = [0] * 19 + [1] * 19, np.append(np.arange(1, 20) / 40, 1 - np.arange(1, 20) / 40)
    assert fit_refer_band(labels, probs, alpha=0.15).limits == pytest.approx((17 / 40, 17 / 40))


def test_sets_worked_out_by_hand():
    wide = ReferBand(0.05, (0.6, 0.7))  # NORMAL up to 0.6, PNEUMONIA from 0.3 on
    assert predict_sets(wide, np.array([0.2, 0.3, 0.6, 0.7])).tolist() == [
        [True, False],
        [True, True],
        [True, True],
        [False, True],
    ]
    narrow = ReferBand(0.2, (0.3, 0.25))  # NORMAL up to 0.3, PNEUMONIA from 0.75 on
    assert predict_sets(narrow, np.array([0.1, 0.5, 0.8])).tolist() == [
        [True, False],
        [False, False],
        [False, True],
    ]


def test_outside_the_range_the_set_is_what_the_threshold_names():
    rng = np.random.default_rng(3)
    for limit_normal, limit_ill, threshold in rng.random((200, 3)):
        low, high = find_refer_range((limit_normal, limit_ill), threshold)
        probs = rng.random(200)
        answered = (probs < low) | (probs > high)
        sets = predict_sets(ReferBand(0.05, (limit_normal, limit_ill)), probs[answered])
        called = probs[answered] >= threshold
        np.testing.assert_array_equal(sets, np.stack([~called, called], axis=1))


def compute_mean_coverage(*, num_repeats: int = 1000, alpha: float = 0.1):
    """Coverage of 100 new films of each class, after a fit on 99 of each; per repeat and class."""
    rng, found = np.random.default_rng(8), []
    for _ in range(num_repeats):
        labels = np.repeat([0, 1], 199)
        # Ill films are harder: their scores scatter twice as much.
        probs = 1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1 + labels)))
        fitted = np.tile(np.arange(199) < 99, 2)
        band = fit_refer_band(labels[fitted], probs[fitted], alpha=alpha)
        new = predict_sets(band, probs[~fitted])
        found.append([new[:100, 0].mean(), new[100:, 1].mean()])
    return np.array(found)


def test_each_class_is_covered_as_promised():
    # The expected coverage is k / (n + 1) = 90 / 100. In one repeat it has the variance of a beta-binomial,
    # 0.9 * 0.1 * (1 / 100 + 1 / 101) < 0.0018; over 1,000 repeats four standard errors are 0.0054.
    mean = compute_mean_coverage().mean(0)
    assert np.all(np.abs(mean - 0.9) < 0.0054), mean


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, np.nan])
def test_impossible_error_rates_are_refused(alpha):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        fit_refer_band([0, 1], [0.2, 0.8], alpha=alpha)


def test_a_band_needs_both_classes():
    with pytest.raises(PneumoError, match="refer band needs"):
        fit_refer_band([1, 1], [0.2, 0.8])
