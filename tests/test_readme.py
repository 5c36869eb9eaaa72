"""The README: its tables and its figure come from the results files, the cards and the lessons."""

import json
import re
import tomllib

import pytest
import yaml
from conftest import ROOT
from PIL import Image

from pneumo_utils import __version__
from pneumo_utils.config import Folders
from pneumo_utils.evaluation.results import (
    format_beside_published,
    format_summary,
    format_table,
    load_records,
    load_results,
    summarise,
)
from pneumo_utils.lessons import format_lesson_table
from pneumo_utils.models.shipped import list_shipped, load_card
from pneumo_utils.plots.evaluation import plot_beside_published
from pneumo_utils.plots.style import MAX_ALT_LENGTH, describe_figure
from pneumo_utils.training.recipes import RECIPES
from tools.teach_guard.judge import format_guard_table

FIGURE = "results/beside_published.png"
MAX_FIGURE_BYTES = 150_000


def read_between(mark: str) -> str:
    """What the README shows between two marks."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    return page.split(f"<!-- {mark}:start -->")[1].split(f"<!-- {mark}:end -->")[0].strip()


def test_the_table_is_the_one_of_the_results_file():
    rows = [r for r in load_results(ROOT / "results" / "chestxray2017.json") if r["split"] == "test"]
    assert {row["model"] for row in rows} >= {"cnn_baseline", "resnet_finetune"}
    assert read_between("results") == format_table(rows)


def test_the_table_of_the_models_that_ship_is_that_of_their_cards():
    assert {"cnn_baseline"} <= set(list_shipped())
    assert read_between("shipped") == format_table(load_shipped_rows())
    assert read_between("published") == format_beside_published(load_shipped_rows())


def load_shipped_rows() -> list[dict]:
    return [load_card(name)["card"]["figures"]["test"] for name in list_shipped()]


@pytest.mark.usefixtures("closed_figures")
def test_the_figure_is_that_of_the_cards_and_small():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (alt,) = re.findall(rf"!\[([^]]+)\]\({FIGURE}\)", page)
    assert 40 <= len(alt) <= MAX_ALT_LENGTH
    drawn = plot_beside_published(load_shipped_rows())
    assert Image.open(ROOT / FIGURE).text["Description"] == describe_figure(drawn)
    assert (ROOT / FIGURE).stat().st_size <= MAX_FIGURE_BYTES


def test_the_table_of_the_lessons_is_that_of_the_notebooks():
    assert read_between("lessons") == format_lesson_table(Folders(ROOT))


def test_the_citation_is_of_this_version_and_repository():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    assert (str(citation["version"]), citation["license"]) == (__version__, project["license"])
    assert citation["repository-code"] == project["urls"]["Repository"]


def test_the_table_over_seeds_is_that_of_the_stored_runs():
    records = [r for r in load_records(Folders(ROOT).stored_ablation) if r["row"] in RECIPES]
    summaries = summarise(records)
    rows = [summary.row for summary in summaries]
    assert rows == list(RECIPES) and all(len(summary.seeds) >= 3 for summary in summaries)
    assert {record["data"] for record in records} == {"chestxray2017"}
    assert read_between("seeds") == format_summary(summaries)


def test_the_table_of_the_guard_is_that_of_its_judgement():
    result = json.loads((ROOT / "results" / "guard.json").read_text(encoding="utf-8"))
    assert (result["data"], result["split"]) == ("chestxray2017", "test")
    assert read_between("guard") == format_guard_table(result["summary"])
    chest = [row for row in result["rows"] if row["is_chest"]]
    assert [sum(row["n"] for row in part) for part in (chest[:1], chest[1:])] == [624, 24]


def test_the_table_is_of_the_whole_official_test_split():
    rows = load_results(ROOT / "results" / "chestxray2017.json")
    for row in (row for row in rows if row["split"] == "test"):
        confusion = row["confusion"]
        assert row["n"] == 624 and confusion["tn"] + confusion["fp"] == 234
        assert row["chosen_on"] == "val" and row["num_skipped"] == 0
        assert row["accuracy"] == pytest.approx((confusion["tn"] + confusion["tp"]) / 624)


def test_the_readmes_file_names_are_the_packages():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    path = Folders(ROOT).checkpoint("cnn_baseline").relative_to(ROOT)
    assert path.as_posix() in page
