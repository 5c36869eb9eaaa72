"""The repository's address stands in `pyproject.toml`; from there it goes into the lessons and pages."""

import re
import tomllib
from pathlib import Path
from string import Template

import nbformat

from pneumo_utils.config import Folders
from pneumo_utils.course import list_lessons
from pneumo_utils.errors import PneumoError

GITHUB = "https://github.com/"
BADGE = Template(
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/$repository/blob/main/notebooks/$lesson)"
)
PAGES = ("README.md", "CONTRIBUTING.md", "CITATION.cff")
BEFORE = (
    r"https://colab\.research\.google\.com/github/",
    f"git clone {GITHUB}",
    f'repository-code: "{GITHUB}',
)
LINK = re.compile(rf"({'|'.join(BEFORE)})[\w.-]+/[\w-]+")
"""Where a page names the repository: in a link to Colab, in the words that fetch it, in how to cite it."""


def read_address(folders: Folders) -> str:
    """The address in `pyproject.toml`, as `https://github.com/OWNER/NAME`.

    Raises:
        PneumoError: It is no repository of GitHub, from where the badge lets Colab open a lesson.
    """
    text = (folders.root / "pyproject.toml").read_text(encoding="utf-8")
    address = tomllib.loads(text)["project"]["urls"]["Repository"]
    if not re.fullmatch(rf"{GITHUB}[\w.-]+/[\w-]+", address):
        raise PneumoError(
            f"Repository in pyproject.toml is {address}; expected {GITHUB}OWNER/NAME, without .git "
            "or a slash at its end, because Colab opens the lessons from there."
        )
    return address


def make_badge(address: str, lesson: str) -> str:
    """The first line of a lesson, which opens it on Colab.

    Args:
        address: From `read_address`.
        lesson: The notebook's file name.
    """
    return BADGE.substitute(repository=address.removeprefix(GITHUB), lesson=lesson)


def make_setup(address: str, folders: Folders) -> str:
    """The third cell of every lesson; its text is `notebooks/setup_cell.txt`.

    Args:
        address: From `read_address`.
        folders: The project's.
    """
    text = (folders.root / "notebooks" / "setup_cell.txt").read_text(encoding="utf-8")
    return Template(text).substitute(address=address).rstrip()


def write_address(folders: Folders) -> str:
    """Writes the address into badges and set-up cells of all lessons and into the links of the pages.

    Args:
        folders: The project's.

    Returns:
        The address.

    Raises:
        PneumoError: It is no repository of GitHub, or there are no lessons.
    """
    address = read_address(folders)
    for path in list_lessons(folders):
        _write_into_lesson(path, make_badge(address, path.name), make_setup(address, folders))
    for page in (folders.root / name for name in PAGES):
        text = page.read_text(encoding="utf-8")
        page.write_text(link_to(address, text), encoding="utf-8")
    return address


def link_to(address: str, text: str) -> str:
    """A page's text in which all that `LINK` finds names this address."""
    return LINK.sub(rf"\g<1>{address.removeprefix(GITHUB)}", text)


def _write_into_lesson(path: Path, badge: str, setup: str) -> None:
    notebook = nbformat.read(path, as_version=4)
    _, *after_badge = notebook.cells[0].source.split("\n")
    notebook.cells[0].source = "\n".join([badge, *after_badge])
    notebook.cells[2].source = setup
    nbformat.write(notebook, path)
