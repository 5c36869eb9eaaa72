"""The prose of lessons and pages: spelling, headings and links."""

import itertools
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT

LESSONS = sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("0*.ipynb"))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/instructors.md", "notebooks/glossary.md"]
PAGES += LESSONS


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
    """What is read aloud: no code, no addresses, no markup."""
    return re.sub(r"`[^`]*`|<[^>]*>|\]\([^)]*\)|https?:\S+", " ", strip_code(read_page(name)))


def find_misspellings(text: str) -> list[str]:
    """The lines of codespell's report."""
    words = [sys.executable, "-m", "codespell_lib", "-"]
    found = subprocess.run(words, input=text, capture_output=True, encoding="utf-8", check=False)
    assert found.returncode in (0, 65), found.stderr  # 65 is its code for misspellings
    return [line for line in found.stdout.splitlines() if "==>" in line]


@pytest.mark.system
def test_spelling():
    prose = [f"{name}: {line}" for name in PAGES for line in read_prose(name).splitlines()]
    assert find_misspellings("\n".join(prose)) == []


@pytest.mark.system
def test_a_misspelling_is_found_and_no_word_of_the_field_is_one():
    field = "image, X-ray, radiograph, dataset, scan, ground truth, iteration, cutoff, color, normalization"
    assert find_misspellings(f"The films occured twice.\n{field}\n") == ["\toccured ==> occurred"]


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
    headings = [title.replace(" ", "-") for _, title in list_headings(page)]  # as JupyterLab has it
    if name.endswith(".md"):
        headings = [re.sub(r"[^\w-]", "", heading.lower()) for heading in headings]
    assert [link for link in re.findall(r"\]\(#([^)]+)\)", page) if link not in headings] == []


def test_every_link_into_the_glossary_meets_its_term():
    glossary = read_page("notebooks/glossary.md")
    terms = re.findall(r'(?m)^- <a id="([^"]+)"></a>\*\*[^*]+\*\*: ', glossary)
    assert len(terms) == len(set(terms)) == glossary.count("\n- ")
    used = {word for name in PAGES for word in re.findall(r"glossary\.md#([^)]+)\)", read_page(name))}
    assert used and used <= set(terms)


def test_the_readme_leads_to_every_lesson():
    links = set(re.findall(r"\]\((notebooks/[^)]+\.ipynb)", read_page("README.md")))
    assert links == set(LESSONS)
