"""The audit's page and `pneumo data audit`, as a user meets them."""

import json
import os
import re
import tomllib
from html.parser import HTMLParser

import pandas as pd
import pytest
from abilities import ANY_NAMES, needs_any_names
from audit_films import make_blobs, write
from conftest import ROOT, run_pneumo
from dicom_files import make_dataset
from dicom_files import write as write_dicom

from pneumo_utils.audit.checks import summarise
from pneumo_utils.audit.facts import read_facts
from pneumo_utils.audit.findings import build_page, choose_marked, format_json, format_text, make_findings
from pneumo_utils.cli import main
from pneumo_utils.plots.films import plot_spread

VOID = {"meta", "img", "br"}
TAG = "<script>" if ANY_NAMES else "&lt;script&gt;"
"""Part of the names of films, which a page that did not escape them would show otherwise."""


class Outline(HTMLParser):
    """Follows the tags of a page: what is open, every address, and the text that is seen."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.addresses, self.tags, self.text = [], [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a little of everything."""
    root = tmp_path_factory.mktemp("films") / f"hospital {TAG}"
    for i in range(12):
        write(root, f"train/NORMAL/IM-{i:04d}-0001.png", i)
        write(root, f"train/PNEUMONIA/person{i}_virus_{i}.png", make_blobs(100 + i, width=200))
    write(root, "test/NORMAL/IM-0003-0002.png", 3)
    film = make_blobs(50, height=300, width=300) // 2
    write(root, f"test/PNEUMONIA/{TAG}alert(1).png", film)
    film[10:30, 10:14] = 255
    write(root, "train/PNEUMONIA/person90_virus_1.png", film)
    (root / "train/NORMAL/broken.png").write_bytes(b"x")
    (root / "train/PNEUMONIA/p77").mkdir()
    (root / "train/PNEUMONIA/p77/film.dcm").write_bytes(write_dicom(make_dataset(make_blobs(77))))
    write(root, "train/OTHER/stray.png", 78)
    return root


@pytest.fixture(scope="module")
def audit(folder):
    table = read_facts(folder)
    summary = summarise(table)
    return table, summary, make_findings(summary)


def test_the_page_is_whole_and_needs_nothing_from_outside(audit):
    table, summary, findings = audit
    page = build_page(summary, findings, table)
    outline = Outline(page)
    assert outline.open == [] and outline.tags.count("section") == 9
    assert outline.addresses and all(a.startswith("data:image/") for a in outline.addresses)
    assert sum(a.startswith("data:image/png;base64,") for a in outline.addresses) == 4  # the charts
    assert not re.search(r"https?://|@import|url\(", page)
    assert "script" not in outline.tags  # names are text, not tags
    assert f"hospital {TAG}" in outline.text and "{" not in outline.text
    assert "For teaching, not for diagnosis." in outline.text


def test_the_template_goes_into_the_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["pneumo_utils"] and "exclude" not in wheel  # with all that lies in it
    assert (ROOT / "pneumo_utils/report/templates/audit.html").is_file()


def test_the_page_says_what_the_figures_say(audit):
    table, summary, findings = audit
    text = Outline(build_page(summary, findings, table)).text
    assert all(finding.title in text and finding.text in text for finding in findings)
    auroc = summary["shortcuts"]["scores"]["aspect"]["auroc"]
    assert f"{auroc:.3f}" in text and "undefined: It is the same for all films" in text
    assert "29 films, 1 damaged" in text
    assert "pair 1, correlation" in text and "Cannot be read: " in text
    assert "Not read: a folder of another name (1)" in text and "DICOM 1" in text


def test_json_holds_the_same_and_no_nan(audit):
    _, summary, findings = audit
    read = json.loads(format_json(summary, findings), parse_constant=lambda word: pytest.fail(word))
    assert read["num_films"] == 29 and read["num_readable"] == 28
    assert [f["title"] for f in read["findings"]] == [f.title for f in findings]
    assert read["duplicates"]["identical"]["across_splits"] == 1  # IM-0003 in train and test


def test_the_text_begins_with_the_serious_findings(audit):
    _, summary, findings = audit
    lines = format_text(summary, findings).splitlines()
    assert lines[0].startswith("29 films in ") and lines[1] == "train: 13 NORMAL + 14 PNEUMONIA"
    levels = [line[1 : line.index("]")] for line in lines if line.startswith("[")]
    assert levels == sorted(levels, key=["serious", "look", "fine"].index) and set(levels) >= {
        "serious",
        "fine",
    }


def test_a_folder_of_damaged_files_gives_a_page_without_figures(tmp_path):
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"x")
    table = read_facts(tmp_path)
    summary = summarise(table)
    text = Outline(build_page(summary, make_findings(summary), table)).text
    assert "2 films, 2 damaged" in text and "mean grey levelnonenone" in text
    assert summary["classes"]["NORMAL"]["width"] is None
    assert all(score["auroc"] is None for score in summary["shortcuts"]["scores"].values())


def test_a_chart_shows_shares_of_each_class(closed_figures):
    films = pd.DataFrame({"class_name": ["NORMAL"] * 4 + ["PNEUMONIA"], "kilobytes": [0.0, 0, 0, 9, 9]})
    (axis,) = plot_spread(films, "kilobytes", label="file, kB").axes
    tops = [outline.get_paths()[0].vertices[:, 1].max() for outline in axis.collections]
    # Three quarters of NORMAL lie in one step; all of PNEUMONIA lies in another.
    assert sorted(tops) == [75, 100]
    assert axis.get_xlabel() == "file, kB" and "%" in axis.get_ylabel()


def test_marked_films_are_picked_evenly(tmp_path):
    for i in range(20):
        film = make_blobs(i, height=224, width=224) // 3
        film[10:30, 10:13] = 250
        write(tmp_path, f"NORMAL/{i:02d}.png", film)
    films = read_facts(tmp_path).readable
    names = [path.stem for path in choose_marked(films, 4)["path"]]
    assert names == ["00", "05", "10", "15"]
    assert len(choose_marked(films[:3], 4)) == 3 and choose_marked(films[:0], 4).empty


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_prints_findings_and_writes_both_files(folder, folders, capsys):
    assert main(["data", "audit", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "[serious]" in text and "29 films" in text
    assert json.loads((folders.build / "audit.json").read_text(encoding="utf-8"))["num_films"] == 29
    assert "<!DOCTYPE html>" in (folders.build / "audit.html").read_text(encoding="utf-8")


@pytest.mark.system
def test_json_is_alone_on_standard_output_and_the_page_goes_where_it_is_asked(folder, tmp_path):
    path = tmp_path / "new" / "page.html"
    done = run_pneumo("data", "audit", folder, "--json", "--html", path, cwd=tmp_path)
    assert json.loads(done.stdout) == json.loads((tmp_path / "build/audit.json").read_text(encoding="utf-8"))
    assert path.is_file() and not (tmp_path / "build/audit.html").exists()


@needs_any_names
def test_names_that_are_no_text_do_no_harm(folders, tmp_path):
    film = make_blobs(0, height=224, width=224) // 3
    film[10:30, 10:13] = 250  # a mark, so that the page shows it under its name
    path = write(tmp_path / "films", "NORMAL/a.png", film)
    part = os.fsencode(path.parent)
    os.rename(path, part + b"/bad\xff.png")
    os.mkdir(part + b"/patient\xff")
    os.rename(write(path.parent, "b.png", 1), part + b"/patient\xff/\xfe.png")
    with open(part + b"/damaged\xff.png", "wb"):
        pass
    write(tmp_path / "films", "PNEUMONIA/c.png", 2)
    assert main(["data", "audit", str(tmp_path / "films"), "--json"]) == 0
    audit = json.loads((folders.build / "audit.json").read_text(encoding="utf-8"))
    assert audit["num_readable"] == 3 and audit["num_films"] == 4
    assert "NORMAL: bad?.png" in (folders.build / "audit.html").read_text(encoding="utf-8")


def test_a_bad_folder_ends_in_one_line(folders, tmp_path, capsys):
    write(tmp_path / "films", "sick/a.png", 0)
    assert main(["data", "audit", str(tmp_path / "films")]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("pneumo: ") and said.err.count("\n") == 1
    assert "expected" in said.err and not folders.build.exists()
