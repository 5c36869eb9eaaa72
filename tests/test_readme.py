"""The README: its tables and its figure come from the results files, the cards and the lessons."""

import json
import re
import shutil
import tomllib
from collections import Counter

import nbformat
import pytest
import yaml
from conftest import ROOT
from PIL import Image

from pneumo_utils import __version__
from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.results import load_records, load_results
from pneumo_utils.models.shipped import list_shipped, load_card
from pneumo_utils.plots.style import MAX_ALT_LENGTH, describe_figure
from pneumo_utils.training.recipes import RECIPES
from tools import readme

PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
TABLES = readme.make_tables(Folders(ROOT))
FIGURE = "results/beside_published.png"
MAX_FIGURE_BYTES = 150_000
FIRST = "[![Open in Colab](https://a/b.svg)](https://c/d.ipynb)\n\n# 01 - See\n\n**What is here?**\n\nMore."
SECOND = "**You will learn**\n\n- much\n\n**Time** 1 minute on 8 CPU cores, as measured."


@pytest.mark.parametrize("mark", TABLES)
def test_a_table_is_the_one_of_its_files(mark):
    assert PAGE.split(f"<!-- {mark}:start -->")[1].split(f"<!-- {mark}:end -->")[0].strip() == TABLES[mark]


def test_every_mark_has_its_table():
    assert set(re.findall(r"<!-- (\w+):start -->", PAGE)) == set(TABLES)


@pytest.mark.usefixtures("closed_figures")
def test_the_figure_is_that_of_the_cards_and_small():
    (alt,) = re.findall(rf"!\[([^]]+)\]\({FIGURE}\)", PAGE)
    assert 40 <= len(alt) <= MAX_ALT_LENGTH
    drawn = readme.plot_beside_published(readme.load_shipped_rows())
    assert Image.open(ROOT / FIGURE).text["Description"] == describe_figure(drawn)
    assert (ROOT / FIGURE).stat().st_size <= MAX_FIGURE_BYTES


def test_the_tables_rest_on_the_whole_official_test_split_and_on_enough_seeds():
    rows = [r for r in load_results(ROOT / "results" / "chestxray2017.json") if r["split"] == "test"]
    assert {row["model"] for row in rows} >= {"cnn_baseline", "resnet_finetune"}
    for row in rows:
        confusion = row["confusion"]
        assert row["n"] == 624 and confusion["tn"] + confusion["fp"] == 234
        assert row["chosen_on"] == "val" and row["num_skipped"] == 0
        assert row["accuracy"] == pytest.approx((confusion["tn"] + confusion["tp"]) / 624)
    records = load_records(Folders(ROOT).stored_ablation)
    assert {record["data"] for record in records} == {"chestxray2017"}
    seeds = Counter(record["row"] for record in records if record["row"] in RECIPES)
    assert set(seeds) == set(RECIPES) and min(seeds.values()) >= 3
    judged = json.loads((ROOT / "results" / "guard.json").read_text(encoding="utf-8"))
    assert (judged["data"], judged["split"]) == ("chestxray2017", "test")
    assert next(row["n"] for row in judged["rows"] if row["is_chest"]) == 624
    assert "cnn_baseline" in list_shipped()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    assert (str(citation["version"]), citation["license"]) == (__version__, project["license"])


def test_it_names_the_commands_the_rooms_and_the_packages_files():
    assert "make run" in PAGE and "make test" in PAGE and "not for diagnosis" in PAGE
    assert Folders(ROOT).checkpoint("cnn_baseline").relative_to(ROOT).as_posix() in PAGE
    rooms = {path.parent.name for path in (ROOT / "pneumo_utils").glob("*/__init__.py")}
    layout = PAGE + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {room for room in rooms if f"`pneumo_utils/{room}`" in PAGE} == rooms
    assert set(re.findall(r"`pneumo_utils/(\w+)`", layout)) <= rooms


@pytest.fixture
def project(folders):
    """A project with what the page is made of, and a page whose tables are empty."""
    for name in ("notebooks", "results"):
        shutil.copytree(ROOT / name, folders.root / name, ignore=shutil.ignore_patterns(".*", "*.png"))
    text = re.sub(r"(?s)(<!-- \w+:start -->).*?(<!-- \w+:end -->)", r"\1\n\2", PAGE)
    (folders.root / "README.md").write_text(text, encoding="utf-8")
    return folders


@pytest.mark.usefixtures("closed_figures")
def test_the_command_fills_an_empty_page(project):
    assert (project.root / "README.md").read_text(encoding="utf-8") != PAGE
    assert readme.main([]) == 0
    assert (project.root / "README.md").read_text(encoding="utf-8") == PAGE
    assert Image.open(project.root / FIGURE).format == "PNG"


def test_a_card_that_was_not_compared_with_originals_is_named(project, capsys, monkeypatch):
    card = load_card("cnn_baseline")["card"]
    card.pop("originals")
    monkeypatch.setattr(readme, "load_card", lambda name: {"card": card})
    assert readme.main([]) == 1
    assert "originals are not measured. Run `python -m tools.originals" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["chestxray2017.json", "ablation.json", "guard.json", "candidates.json"])
def test_a_file_that_is_absent_is_named_and_the_page_stays(project, capsys, name):
    before = (project.root / "README.md").read_bytes()
    (project.root / "results" / name).unlink()
    assert readme.main([]) == 1
    assert name in capsys.readouterr().err
    assert (project.root / "README.md").read_bytes() == before


def write_lesson(folders: Folders, *cells: str) -> None:
    (folders.root / "notebooks").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells])
    nbformat.write(notebook, folders.root / "notebooks" / "01_see.ipynb")


def test_a_row_of_a_lesson_has_title_question_time_and_badge(folders):
    write_lesson(folders, FIRST, SECOND)
    head, rule, row = readme.format_lesson_table(folders).splitlines()
    badge = "[![Open in Colab](https://a/b.svg)](https://c/d.ipynb)"
    expected = f"| [01 See](notebooks/01_see.ipynb) | What is here? | 1 minute, 8 cores | - | {badge} |"
    assert row == expected and head.count("|") == rule.count("|") == row.count("|")


@pytest.mark.parametrize("cells", [(SECOND, FIRST), (FIRST, "**Time** soon")])
def test_a_lesson_that_begins_otherwise_is_named(folders, cells):
    write_lesson(folders, *cells)
    with pytest.raises(PneumoError, match=r"01_see\.ipynb does not begin with badge"):
        readme.format_lesson_table(folders)


MARKED = "above\n<!-- a:start -->\nold\n<!-- a:end -->\nbetween\n<!-- b:start -->\n<!-- b:end -->\nbelow\n"


def test_a_page_gets_a_text_between_the_marks_of_that_name_and_nowhere_else(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(MARKED, encoding="utf-8")
    readme.write_between("b", "new ± 1", page)
    expected = MARKED.replace("<!-- b:start -->\n", "<!-- b:start -->\nnew ± 1\n")
    assert page.read_text(encoding="utf-8") == expected
    readme.write_between("a", "| a | table |\n| of | lines |", page)
    assert page.read_text(encoding="utf-8") == expected.replace("old", "| a | table |\n| of | lines |")


def test_writing_again_replaces_what_was_written(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(MARKED, encoding="utf-8")
    for text in ("first\n\nand more", "second"):
        readme.write_between("a", text, page)
    assert page.read_text(encoding="utf-8") == MARKED.replace("old", "second")


@pytest.mark.parametrize("content", ["no marks", "<!-- a:start -->\n", "<!-- a:end -->\n", MARKED])
def test_a_page_without_both_marks_is_refused_and_left_alone(tmp_path, content):
    page = tmp_path / "README.md"
    page.write_text(content, encoding="utf-8")
    mark = "c" if content == MARKED else "a"
    with pytest.raises(PneumoError, match=rf"README\.md lacks the marks <!-- {mark}:start -->"):
        readme.write_between(mark, "new", page)
    assert page.read_text(encoding="utf-8") == content
