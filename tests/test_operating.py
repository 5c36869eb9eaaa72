"""Operating points of a checkpoint, and changed prevalences against Bayes' rule."""

import numpy as np
import pytest
from conftest import make_lively_checkpoint
from scipy.stats import norm
from simulated import simulate

from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.decisions import find_points, judge_points, shift_prior
from pneumo_utils.evaluation.evaluate import predict_dataset
from pneumo_utils.evaluation.metrics import compute_intervals, compute_metrics
from pneumo_utils.training.thresholds import choose_operating_points


@pytest.mark.parametrize("screening", [0.3, None])
def test_the_points_are_the_checkpoints_own_and_rule_in_by_the_same_rule(screening):
    checkpoint = make_lively_checkpoint(threshold=0.4, screening_threshold=screening)
    val = make_phantoms(40, image_size=32, split="val")
    plain, stressed = (predict_dataset(checkpoint, films) for films in (val, make_stress_films(val)))
    chosen = choose_operating_points(
        plain.labels, plain.probs, stress_labels=stressed.labels, stress_probs=stressed.probs
    )
    assert find_points(checkpoint, val) == {
        "balanced": 0.4,
        "screening": min(screening or chosen["screening"], 0.4),
        "rule_in": max(chosen["rule_in"], 0.4),
    }


def test_points_are_judged_with_intervals():
    films = simulate(120, seed=2, max_films=2)
    judged = judge_points(films, {"balanced": 0.5, "rule_in": 0.8})
    assert list(judged) == ["balanced", "rule_in"]
    for row, threshold in zip(judged.values(), (0.5, 0.8), strict=True):
        figures = compute_metrics(films.labels, films.probs, threshold=threshold)
        intervals = compute_intervals(films, threshold=threshold)
        assert row == {"threshold": threshold, **figures, "intervals": intervals}


def test_probabilities_at_another_prevalence_worked_out_by_hand():
    # Even odds at a prevalence of a half are the prior odds of 1 : 9 at a tenth.
    assert shift_prior(0.5, from_prevalence=0.5, to_prevalence=0.1) == pytest.approx(0.1)
    # Odds 3 : 1 at three quarters tell nothing, and so must be 1 : 4 at a fifth.
    assert shift_prior(0.75, from_prevalence=0.75, to_prevalence=0.2) == pytest.approx(0.2)
    got = shift_prior(np.array([0.0, 0.3, 1.0]), from_prevalence=0.4, to_prevalence=0.4)
    assert got == pytest.approx([0.0, 0.3, 1.0], abs=1e-12)


def test_the_correction_is_bayes_rule():
    x = np.linspace(-4, 4, 41)

    def posterior(prevalence):  # of two unit normals at +1 and -1
        ill, well = prevalence * norm.pdf(x, 1), (1 - prevalence) * norm.pdf(x, -1)
        return ill / (ill + well)

    got = shift_prior(posterior(0.7), from_prevalence=0.7, to_prevalence=0.05)
    assert got == pytest.approx(posterior(0.05), abs=1e-9)


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, 62.5, np.nan])
def test_impossible_prevalences_are_refused(prevalence):
    with pytest.raises(UsageError, match=r"to_prevalence is .* above 0 and below 1"):
        shift_prior(0.5, from_prevalence=0.5, to_prevalence=prevalence)
    with pytest.raises(UsageError, match="from_prevalence"):
        shift_prior(0.5, from_prevalence=prevalence, to_prevalence=0.5)


@pytest.mark.parametrize("prob", [-0.1, 1.1, np.nan])
def test_impossible_probabilities_are_not_shifted(prob):
    with pytest.raises(UsageError, match="outside 0 to 1"):
        shift_prior(np.array([0.5, prob]), from_prevalence=0.5, to_prevalence=0.1)
