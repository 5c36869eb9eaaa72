"""The prose of lessons, README and CONTRIBUTING: spelling, the course's words, headings and links."""

import itertools
import re
import subprocess
import sys
from importlib.resources import files

import nbformat
import pytest
from conftest import ROOT

LESSONS = sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("0*.ipynb"))
PAGES = ["README.md", "CONTRIBUTING.md", *LESSONS]
ALSO_BRITISH = {"check", "checks", "disk", "disks", "license", "meter", "meters", "practice", "program"}
ALSO_BRITISH |= {"programs", "story", "stories", "draft", "drafts", "inquiry"}
"""What codespell takes for American only and is British too, in one of its meanings."""
QUOTED = ("Labeled Optical Coherence Tomography",)
"""Titles of others keep their spelling."""
OTHER_WORDS = {
    "threshold": r"cut-?offs?",
    "label": r"ground[- ]truth|gold standard",
    "film": r"scans?|radiographs?|roentgenograms?",
    "X-ray": r"x-rays?|X[Rr]ays?|xrays?",
    "data set": r"datasets?",
    "prob": r"confidence scores?|probability scores?",
    "epoch": r"iterations?",
    "validation": r"dev set|holdout",
}
"""The course's word for a thing, and words for the same thing that it does without."""


def read_page(name: str) -> str:
    """A page as Markdown; of a notebook its Markdown cells."""
    if name.endswith(".md"):
        return (ROOT / name).read_text(encoding="utf-8")
    cells = nbformat.read(ROOT / name, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def strip_code(page: str) -> str:
    """Without blocks of code, so without their comments, which look like headings."""
    return re.sub(r"(?ms)^```.*?^```", "", page)


def read_prose(name: str) -> str:
    """What is read aloud: no code, no addresses, no markup, no quoted titles."""
    page = re.sub(r"`[^`]*`|<[^>]*>|\]\([^)]*\)|https?:\S+", " ", strip_code(read_page(name)))
    for title in QUOTED:
        page = page.replace(title, " ")
    return page


def find_misspellings(text: str) -> list[str]:
    """The lines of codespell's report."""
    words = [sys.executable, "-m", "codespell_lib", "-"]
    found = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 65), found.stderr  # 65 is its code for misspellings
    return [line for line in found.stdout.splitlines() if "==>" in line]


def load_american() -> set[str]:
    """American spellings, from codespell's table of British ones."""
    table = files("codespell_lib").joinpath("data/dictionary_en-GB_to_en-US.txt").read_text(encoding="utf-8")
    words = {word.strip(" ,") for line in table.splitlines() for word in line.split("->")[-1].split(",")}
    return words - ALSO_BRITISH - {""}


def find_american(text: str) -> list[str]:
    return sorted(set(re.findall(r"[a-z]+", text.lower())) & load_american())


def find_other_words(text: str) -> list[str]:
    return [found for words in OTHER_WORDS.values() for found in re.findall(rf"\b(?:{words})\b", text)]


@pytest.mark.parametrize("name", PAGES)
def test_spelling(name):
    prose = read_prose(name)
    assert len(prose.split()) > 200
    assert (find_misspellings(prose), find_american(prose)) == ([], [])


@pytest.mark.parametrize("name", PAGES)
def test_one_word_for_one_thing(name):
    assert find_other_words(read_prose(name)) == []


def test_faults_are_found():
    assert find_misspellings("The films occured twice.\n") == ["\toccured ==> occurred"]
    assert find_american("A gray color, analyzed; a grey colour, analysed.") == ["analyzed", "color", "gray"]
    assert find_other_words("The cutoff of a scan, and the threshold of a film.") == ["cutoff", "scan"]


def list_headings(page: str) -> list[tuple[int, str]]:
    """Level and text of each heading."""
    return [(len(marks), title) for marks, title in re.findall(r"(?m)^(#+) (.+)$", strip_code(page))]


@pytest.mark.parametrize("name", PAGES)
def test_headings_skip_no_level_and_there_is_one_title(name):
    levels = [level for level, _ in list_headings(read_page(name))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1] == []


@pytest.mark.parametrize("name", PAGES)
def test_local_links_lead_somewhere(name):
    page = read_page(name)
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []
    headings = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for _, title in list_headings(page)]
    assert [link for link in re.findall(r"\]\(#([^)]+)\)", page) if link not in headings] == []


def test_the_readme_leads_to_every_lesson():
    links = set(re.findall(r"\]\((notebooks/[^)]+)", read_page("README.md")))
    assert links == set(LESSONS)
