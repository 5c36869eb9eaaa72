"""The five lessons run one after the other on a machine without data, and leave what they promise.

Each exercise is left alone, solved and answered wrongly on the way, and the reader is told which.
"""

import json
import os
import sys

import nbformat
import pytest
from lessons import (
    LESSONS,
    MODELS,
    NOTEBOOKS,
    SHORT_MODE,
    find_cell,
    list_missing,
    list_solutions,
    run_notebooks,
)
from wrong_answers import WRONG_ANSWERS

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("heavy")]

ASK = """\
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as told:
    exec({check!r})
assert {test}, told.getvalue()"""


def add_answers(lesson, name: str) -> None:
    """Puts code after each exercise's check that answers it rightly and wrongly and looks at what is told."""
    pairs = zip(list_solutions(lesson), WRONG_ANSWERS[name], strict=True)
    for number, (solution, wrong) in enumerate(pairs, start=1):
        check = find_cell(lesson, f"check-{number}")
        place = lesson.cells.index(check) + 1
        told = "told.getvalue()"
        tests = f"{told} == 'Not tried yet.\\n'", f"{told} == 'Right.\\n'", f"{told}.startswith('Not yet. ')"
        code = [ASK.format(check=check.source, test=test) for test in tests]
        added = [code[0], solution, code[1], wrong, code[2]]
        lesson.cells[place:place] = map(nbformat.v4.new_code_cell, added)


def test_the_lessons_and_their_exercises_run_in_order_and_leave_their_files(tmp_path):
    paths = [tmp_path / name for name in LESSONS]
    assert len(paths) == 5
    for path in paths:
        lesson = nbformat.read(NOTEBOOKS / path.name, as_version=4)
        add_answers(lesson, path.name)
        nbformat.write(lesson, path)
    home = tmp_path / "home"
    run_notebooks(sys.executable, paths, environment=os.environ | SHORT_MODE | {"PNEUMO_HOME": str(home)})

    assert list_missing(home) == []
    rows = json.loads((home / "build/results.json").read_text(encoding="utf-8"))["rows"]
    judged = sorted((row["model"], row["split"]) for row in rows)
    assert judged == [(model, split) for model in MODELS for split in ("test", "val")]
    assert {row["data"] for row in rows} == {"synthetic"}
