"""The table of lessons says what the notebooks say."""

import nbformat
import pytest

from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError
from pneumo_utils.lessons import format_lesson_table

FIRST = "[![Open in Colab](https://a/b.svg)](https://c/d.ipynb)\n\n# 01 - See\n\n**What is here?**\n\nMore."
SECOND = "**You will learn**\n\n- much\n\n**Time** 1 minute on 8 CPU cores, as measured."


def write(folders: Folders, *cells: str) -> None:
    (folders.root / "notebooks").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells])
    nbformat.write(notebook, folders.root / "notebooks" / "01_see.ipynb")


def test_a_row_has_title_question_time_and_badge(tmp_path):
    write(Folders(tmp_path), FIRST, SECOND)
    head, rule, row = format_lesson_table(Folders(tmp_path)).splitlines()
    badge = "[![Open in Colab](https://a/b.svg)](https://c/d.ipynb)"
    expected = f"| [01 See](notebooks/01_see.ipynb) | What is here? | 1 minute, 8 cores | - | {badge} |"
    assert row == expected and head.count("|") == rule.count("|") == row.count("|")


@pytest.mark.parametrize("cells", [(SECOND, FIRST), (FIRST, "**Time** soon")])
def test_a_lesson_that_begins_otherwise_is_named(tmp_path, cells):
    write(Folders(tmp_path), *cells)
    with pytest.raises(PneumoError, match=r"01_see\.ipynb does not begin with badge"):
        format_lesson_table(Folders(tmp_path))
