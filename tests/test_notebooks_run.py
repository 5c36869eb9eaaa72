"""The five lessons run one after the other on a machine without data, and leave what they promise.

At the end of each its exercises are solved, in the kernel in which a reader would solve them.
"""

import json
import os
import sys

import nbformat
import pytest
from lessons import LESSONS, MODELS, NOTEBOOKS, SHORT_MODE, list_missing, list_solutions, run_notebooks

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("heavy")]


def test_the_lessons_and_their_exercises_run_in_order_and_leave_their_files(tmp_path):
    paths = [tmp_path / name for name in LESSONS]
    assert len(paths) == 5
    for path in paths:
        lesson = nbformat.read(NOTEBOOKS / path.name, as_version=4)
        solutions = list_solutions(lesson)
        assert len(solutions) == 3
        lesson.cells += map(nbformat.v4.new_code_cell, solutions)
        nbformat.write(lesson, path)
    home = tmp_path / "home"
    run_notebooks(sys.executable, paths, environment=os.environ | SHORT_MODE | {"PNEUMO_HOME": str(home)})

    assert list_missing(home) == []
    rows = json.loads((home / "build/results.json").read_text(encoding="utf-8"))["rows"]
    judged = sorted((row["model"], row["split"]) for row in rows)
    assert judged == [(model, split) for model in MODELS for split in ("test", "val")]
    assert {row["data"] for row in rows} == {"synthetic"}
