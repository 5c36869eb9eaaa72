"""The README: its table comes from the results file, its links lead somewhere."""

import re

import pytest
from conftest import ROOT

from pneumo_utils.config import Folders
from pneumo_utils.evaluation.results import END, START, format_table, load_results

PAGES = ["README.md", "CONTRIBUTING.md"]


def test_the_table_is_the_one_of_the_results_file():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [r for r in load_results(ROOT / "results" / "chestxray2017.json") if r["split"] == "test"]
    assert {row["model"] for row in rows} == {"cnn_baseline", "resnet_finetune"}
    assert page.split(START)[1].split(END)[0].strip() == format_table(rows)


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
