"""Operating points of a checkpoint."""

import pytest
from conftest import make_lively_checkpoint

from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.decisions import find_points
from pneumo_utils.evaluation.evaluate import predict_dataset
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
