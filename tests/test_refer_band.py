"""The refer band: limits and sets by hand, the promise in simulations."""

import numpy as np
import pytest

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.training.thresholds import ReferBand, find_refer_range, fit_refer_band, predict_sets


def test_limits_worked_out_by_hand():
    # 19 normal films: k = 20 * 0.9 = 18, the second highest. 9 ill ones: k = 10 * 0.9 = 9, the lowest.
    normal, ill = np.arange(1, 20) / 40, 1 - np.arange(1, 10) / 100
    labels, probs = [0] * 19 + [1] * 9, np.append(normal, ill)
    assert fit_refer_band(labels, probs, alpha=0.1).limits == pytest.approx((18 / 40, 0.09))
    # Together 28 scores: k = 29 * 0.9 = 26.1, so the 27th. The two highest are 18/40 and 19/40.
    assert fit_refer_band(labels, probs, alpha=0.1, by_class=False).limits == pytest.approx(
        (18 / 40, 18 / 40)
    )


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
    wide = ReferBand(0.05, True, (0.6, 0.7))  # NORMAL up to 0.6, PNEUMONIA from 0.3 on
    assert predict_sets(wide, np.array([0.2, 0.3, 0.6, 0.7])).tolist() == [
        [True, False],
        [True, True],
        [True, True],
        [False, True],
    ]
    narrow = ReferBand(0.2, True, (0.3, 0.25))  # NORMAL up to 0.3, PNEUMONIA from 0.75 on
    assert predict_sets(narrow, np.array([0.1, 0.5, 0.8])).tolist() == [
        [True, False],
        [False, False],
        [False, True],
    ]


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


def test_outside_the_range_the_set_is_what_the_threshold_names():
    rng = np.random.default_rng(3)
    for limit_normal, limit_ill, threshold in rng.random((200, 3)):
        low, high = find_refer_range((limit_normal, limit_ill), threshold)
        probs = rng.random(200)
        answered = (probs < low) | (probs > high)
        sets = predict_sets(ReferBand(0.05, True, (limit_normal, limit_ill)), probs[answered])
        called = probs[answered] >= threshold
        np.testing.assert_array_equal(sets, np.stack([~called, called], axis=1))


def compute_mean_coverage(*, by_class: bool, num_repeats: int = 1000, alpha: float = 0.1):
    """Coverage of 100 new films of each class, after a fit on 99 of each; per repeat and class."""
    rng, found = np.random.default_rng(8), []
    for _ in range(num_repeats):
        labels = np.repeat([0, 1], 199)
        # Ill films are harder: their scores scatter twice as much.
        probs = 1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1 + labels)))
        fitted = np.tile(np.arange(199) < 99, 2)
        band = fit_refer_band(labels[fitted], probs[fitted], alpha=alpha, by_class=by_class)
        new = predict_sets(band, probs[~fitted])
        found.append([new[:100, 0].mean(), new[100:, 1].mean()])
    return np.array(found)


def test_each_class_is_covered_as_promised():
    # The expected coverage is k / (n + 1) = 90 / 100. In one repeat it has the variance of a beta-binomial,
    # 0.9 * 0.1 * (1 / 100 + 1 / 101) < 0.0018; over 1,000 repeats four standard errors are 0.0054.
    mean = compute_mean_coverage(by_class=True).mean(0)
    assert np.all(np.abs(mean - 0.9) < 0.0054), mean


def test_over_all_films_one_class_pays_for_the_other():
    # k = 199 * 0.9 rounded up is 180, the expected coverage 180 / 199 = 0.9045.
    mean = compute_mean_coverage(by_class=False).mean(0)
    assert abs(mean.mean() - 180 / 199) < 0.0054
    assert mean[0] > 0.93 and mean[1] < 0.88


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, np.nan])
def test_impossible_error_rates_are_refused(alpha):
    with pytest.raises(UsageError, match="above 0 and below 1"):
        fit_refer_band([0, 1], [0.2, 0.8], alpha=alpha)


def test_a_band_needs_both_classes():
    with pytest.raises(PneumoError, match="refer band needs"):
        fit_refer_band([1, 1], [0.2, 0.8])
