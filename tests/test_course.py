"""The lesson runner: order, progress, outputs, failures."""

import re

import nbformat
import pytest
from lessons import write_lesson

from pneumo_utils import course
from pneumo_utils.errors import PneumoError


@pytest.mark.system
def test_lessons_run_in_order_with_progress_and_leave_outputs(folders, capfd):
    write_lesson(folders, "02_b.ipynb", "print(open('made.txt').read())")
    write_lesson(folders, "01_a.ipynb", "open('made.txt', 'w').write('from one');", "print('hello')")
    times_s = course.run_course()
    assert [path.name for path in times_s] == ["01_a.ipynb", "02_b.ipynb"] and min(times_s.values()) > 0
    said = capfd.readouterr().out
    assert said.index("[01_a] cell 2/3") < said.index("hello") < said.index("[02_b] cell 2/2")
    assert "make lab" in said.splitlines()[-1]
    executed = nbformat.read(folders.build / "notebooks" / "02_b.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].text == "from one\n" and "widgets" not in executed.metadata
    page = (folders.build / "notebooks" / "02_b.html").read_text(encoding="utf-8")
    assert "from one" in page and "Title" in page
    original = nbformat.read(folders.root / "notebooks" / "02_b.ipynb", as_version=4)
    assert original.cells[1].outputs == []


@pytest.mark.system
def test_a_failing_cell_stops_the_course_and_is_kept(folders):
    write_lesson(folders, "01_a.ipynb", "1 / 0", "print('never')")
    write_lesson(folders, "02_b.ipynb", "print('never')")
    with pytest.raises(PneumoError, match=r"01_a\.ipynb stopped: ZeroDivisionError"):
        course.run_course()
    kept = nbformat.read(folders.build / "notebooks" / "01_a.ipynb", as_version=4)
    assert kept.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert not (folders.build / "notebooks" / "02_b.ipynb").exists()


def test_a_folder_that_cannot_be_written_to_is_said_before_the_first_lesson(folders, monkeypatch):
    write_lesson(folders, "01_a.ipynb", "1 / 0")
    folders.plots.write_text("a file", encoding="utf-8")
    with pytest.raises(PneumoError, match="plots is no folder that may be written to"):
        course.run_course()


def test_no_lessons_is_said(folders):
    with pytest.raises(PneumoError, match="no notebooks"):
        course.run_course()


def test_the_page_keeps_solutions_folded_and_listings_in_a_fixed_font(tmp_path):
    folded = "<details><summary>Solution</summary>\n\n```python\nx = 1\n```\n\nIt is one.\n</details>"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(folded)])
    course._write_html(notebook, tmp_path / "lesson.html")
    page = (tmp_path / "lesson.html").read_text(encoding="utf-8")
    inside = re.search(r"(?s)<details>(.*?)</details>", page)[1]
    assert "<pre" in inside and "It is one." in inside
    assert page.index(course.LISTING_STYLE) < page.index("</head>")
