"""The lesson runner: order, progress, outputs, failures."""

import os
import re

import nbformat
import pytest

from pneumo_utils import course
from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.results import load_results, save_result


def write_lesson(folders: Folders, name: str, *sources: str):
    path = folders.root / "notebooks" / name
    path.parent.mkdir(exist_ok=True)
    cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def plain_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path))
    return Folders(tmp_path)


def test_lessons_run_in_order_with_progress_and_leave_outputs(plain_folders, capfd):
    write_lesson(plain_folders, "02_b.ipynb", "print(open('made.txt').read())")
    write_lesson(plain_folders, "01_a.ipynb", "open('made.txt', 'w').write('from one');", "print('hello')")
    course.run_course()
    said = capfd.readouterr().out
    assert said.index("[01_a] cell 2/3") < said.index("hello") < said.index("[02_b] cell 2/2")
    assert "make lab" in said.splitlines()[-1]
    executed = nbformat.read(plain_folders.build / "notebooks" / "02_b.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].text == "from one\n" and "widgets" not in executed.metadata
    page = (plain_folders.build / "notebooks" / "02_b.html").read_text()
    assert "from one" in page and "Title" in page
    original = nbformat.read(plain_folders.root / "notebooks" / "02_b.ipynb", as_version=4)
    assert original.cells[1].outputs == []


def test_a_failing_cell_stops_the_course_and_is_kept(plain_folders):
    write_lesson(plain_folders, "01_a.ipynb", "1 / 0", "print('never')")
    write_lesson(plain_folders, "02_b.ipynb", "print('never')")
    with pytest.raises(PneumoError, match=r"01_a\.ipynb stopped: ZeroDivisionError"):
        course.run_course()
    kept = nbformat.read(plain_folders.build / "notebooks" / "01_a.ipynb", as_version=4)
    assert kept.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert not (plain_folders.build / "notebooks" / "02_b.ipynb").exists()


def test_outputs_are_stored_without_stderr(plain_folders):
    path = write_lesson(
        plain_folders, "01_a.ipynb", "import sys; print('out'); print('err', file=sys.stderr)"
    )
    course.run_course(store=True)
    stored = nbformat.read(path, as_version=4)
    assert [output.name for output in stored.cells[1].outputs] == ["stdout"]
    assert stored.cells[1].execution_count == 1
    page = (plain_folders.build / "notebooks" / "01_a.html").read_text()
    assert "<pre>out\n</pre>" in page and "<pre>err\n</pre>" not in page


def test_no_lessons_is_said(plain_folders):
    with pytest.raises(PneumoError, match="no notebooks"):
        course.run_course()


def test_storing_writes_the_measured_time_and_the_results(plain_folders):
    path = write_lesson(plain_folders, "01_a.ipynb", "print(1)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "**Time** {{TIME}}\n\nmore"
    nbformat.write(notebook, path)
    save_result({"model": "m", "split": "test", "data": "synthetic"}, plain_folders.results)
    course.store_outputs({path: 150.0}, plain_folders)
    words = f"**Time** 2 minutes on {os.cpu_count()} CPU cores, as measured."
    assert nbformat.read(path, as_version=4).cells[0].source == f"{words}\n\nmore"  # round half to even
    kept = load_results(plain_folders.root / "results" / "synthetic.json")
    assert [row["model"] for row in kept] == ["m"]


def test_the_page_keeps_solutions_folded_and_listings_in_a_fixed_font(tmp_path):
    folded = "<details><summary>Solution</summary>\n\n```python\nx = 1\n```\n\nIt is one.\n</details>"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(folded)])
    course._write_html(notebook, tmp_path / "lesson.html")
    page = (tmp_path / "lesson.html").read_text(encoding="utf-8")
    inside = re.search(r"(?s)<details>(.*?)</details>", page)[1]
    assert "<pre" in inside and "It is one." in inside
    assert page.index(course.LISTING_STYLE) < page.index("</head>")
