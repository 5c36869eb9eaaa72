"""The repository's address stands in many places, all of which say the same as `pyproject.toml`."""

import re

import nbformat
import pytest
from conftest import ROOT
from lessons import ADDRESS, LESSONS, NOTEBOOKS, SETUP

OWN = ADDRESS.removeprefix("https://github.com/")
NAMED = re.compile(
    r"""(?:colab\.research\.google\.com/github/|git clone https://github\.com/|s#)([\w.-]+/[\w-]+)"""
    r"""|(?:PROJECT = |repository-code: |Repository = )"https://github\.com/([^"]+)\""""
)
"""Links to Colab, what a set-up cell fetches, how the project is cited, and the line that follows a fork."""
PAGES = {"README.md": len(LESSONS), "CONTRIBUTING.md": 1, "CITATION.cff": 1, "pyproject.toml": 1}
"""Pages, and how often each names the address."""


def list_addresses(text: str) -> list[str]:
    return ["".join(found) for found in NAMED.findall(text)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_the_address_of_the_project_file(page):
    assert list_addresses((ROOT / page).read_text(encoding="utf-8")) == [OWN] * PAGES[page]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_names_it_in_its_badge_and_its_set_up_cell(name):
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    assert (
        list_addresses(cells[0].source) == list_addresses(cells[2].source) == list_addresses(SETUP) == [OWN]
    )


def test_colab_can_open_it():
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w-]+", ADDRESS), (
        "Colab wants no .git and no last slash"
    )


def test_one_sed_moves_all_of_them():
    command = re.search(
        r"`git grep -l (\S+) \| xargs sed", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    )
    assert command[1] == OWN
    for page in (ROOT / name for name in PAGES):
        moved = page.read_text(encoding="utf-8").replace(OWN, "some-school/films-of-ours")
        assert set(list_addresses(moved)) == {"some-school/films-of-ours"}
