"""The lessons as a table, read from the notebooks themselves."""

import re

import nbformat

from pneumo_utils.config import Folders
from pneumo_utils.course import list_lessons
from pneumo_utils.errors import PneumoError

HEAD = re.compile(r"(?s)(?P<badge>\[!\[.*?\)\n).*?# \d\d - (?P<title>[^\n]+)\n+\*\*(?P<question>[^\n]+)\*\*")
TIME = re.compile(r"(?m)^\*\*Time\*\* (?P<minutes>\d+ minutes?) on (?P<cores>\d+) CPU cores")


def format_lesson_table(folders: Folders) -> str:
    """A Markdown table of the lessons: question, measured time, a link that opens each on Colab.

    Args:
        folders: The project's.

    Returns:
        Lines with no line break at the end; times on a GPU are not measured yet, so a dash stands there.

    Raises:
        PneumoError: There are no notebooks, or one does not begin as the lessons do.
    """
    lines = ["| lesson | question | time on CPU | on a GPU | in the browser |", "|" + " --- |" * 5]
    for path in list_lessons(folders):
        first, second = (cell.source for cell in nbformat.read(path, as_version=4).cells[:2])
        head, time = HEAD.match(first), TIME.search(second)
        if not head or not time:
            raise PneumoError(f"{path.name} does not begin with badge, title and question, then the time.")
        lines.append(
            f"| [{path.stem[:2]} {head['title']}](notebooks/{path.name}) | {head['question']} | "
            f"{time['minutes']}, {time['cores']} cores | - | {head['badge'].strip()} |"
        )
    return "\n".join(lines)
