"""What a reader is told about an answer."""

import numpy as np
import pytest

from pneumo_utils.exercises import check_answer

RULES = (lambda a: len(a) == 2, "Two numbers are wanted."), (lambda a: a[0] < a[1], "The smaller one first.")


@pytest.mark.parametrize(
    "answer, said",
    [
        (..., "Not tried yet.\n"),
        ((1, 2), "Right.\n"),
        ((2, 1), "Not yet. The smaller one first.\n"),
        ((1, 2, 3), "Not yet. Two numbers are wanted.\n"),
        (5, "Not yet. Two numbers are wanted.\n"),  # has no length: the test raises
        (None, "Not yet. Two numbers are wanted.\n"),
        (np.array([[1, 2], [0, 3]]), "Not yet. The smaller one first.\n"),  # has no truth value
    ],
)
def test_an_answer_is_told_what_it_lacks_and_nothing_raises(answer, said, capsys):
    check_answer(answer, *RULES)
    assert capsys.readouterr().out == said
