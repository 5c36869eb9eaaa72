"""The README: its table comes from the results file, its links lead somewhere."""

import json
import re

import pytest
from conftest import ROOT

from pneumo_utils.config import Folders
from pneumo_utils.evaluation.ablation import format_summary, load_records, summarise
from pneumo_utils.evaluation.results import format_table, load_results
from pneumo_utils.inference.guard_judging import format_guard_table
from pneumo_utils.models.shipped import list_shipped, load_card
from pneumo_utils.training.recipes import RECIPES

PAGES = ["README.md", "CONTRIBUTING.md"]


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
    rows = [load_card(name)["card"]["figures"]["test"] for name in list_shipped()]
    assert read_between("shipped") == format_table(rows)


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


@pytest.mark.parametrize("name", PAGES)
def test_local_links_lead_somewhere(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert all((ROOT / link).exists() for link in links)
    if name == "README.md":
        assert len([link for link in links if link.endswith(".ipynb")]) == 5


def test_the_readmes_file_names_are_the_packages():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    path = Folders(ROOT).checkpoint("cnn_baseline").relative_to(ROOT)
    assert path.as_posix() in page
