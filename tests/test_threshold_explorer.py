"""The slider and its lines."""

import numpy as np
import pytest

from pneumo_utils.evaluation.decisions import build_threshold_explorer, describe_threshold
from pneumo_utils.evaluation.metrics import Predictions

NAMES = np.array(list("abcde"))
PREDICTIONS = Predictions(np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.3, 0.7, 0.9]), NAMES, NAMES)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, "At 0.000: 3 of 3 ill found, 0 missed; 2 of 2 well alarmed; 60.0% right."),
        (0.5, "At 0.500: 2 of 3 ill found, 1 missed; 1 of 2 well alarmed; 60.0% right."),
        (0.65, "At 0.650: 2 of 3 ill found, 1 missed; 0 of 2 well alarmed; 80.0% right."),
        (1.0, "At 1.000: 0 of 3 ill found, 3 missed; 0 of 2 well alarmed; 40.0% right."),
    ],
)
def test_a_threshold_in_words(threshold, expected):
    assert describe_threshold(PREDICTIONS, threshold) == expected


def test_the_lines_follow_the_slider():
    reverse = Predictions(PREDICTIONS.labels, 1 - PREDICTIONS.probs, NAMES, NAMES)
    slider, line, other = build_threshold_explorer({"m": PREDICTIONS, "r": reverse}, threshold=0.65).children
    assert slider.value == 0.65 and "80.0% right" in line.value and line.value.startswith("<b>m</b>")
    slider.value = 1.0
    assert "3 missed" in line.value and "3 missed" in other.value
    assert (slider.min, slider.max) == (0, 1)


def test_one_class_has_a_line_too():
    ill = Predictions(np.array([1]), np.array([0.4]), NAMES[:1], NAMES[:1])
    assert describe_threshold(ill, 0.5).startswith("At 0.500: 0 of 1 ill found, 1 missed; 0 of 0 well")
