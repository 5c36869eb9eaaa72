"""The audit's page and `pneumo data audit`, as a user meets them."""

import json
import os
import re
import tomllib
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import ROOT, run_pneumo
from test_audit import make_blobs, write

from pneumo_utils.audit import page as charts
from pneumo_utils.audit.checks import make_findings, summarise
from pneumo_utils.audit.facts import read_facts
from pneumo_utils.audit.page import build_page, choose_marked, format_json, format_text
from pneumo_utils.report import html

VOID = {"meta", "img", "br"}


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
    root = tmp_path_factory.mktemp("films") / "hospital <b>"
    for i in range(12):
        write(root, f"train/NORMAL/IM-{i:04d}-0001.png", i)
        write(root, f"train/PNEUMONIA/person{i}_virus_{i}.png", make_blobs(100 + i, width=200))
    write(root, "test/NORMAL/IM-0003-0002.png", 3)
    film = make_blobs(50, height=300, width=300) // 2
    write(root, "test/PNEUMONIA/<script>alert(1).png", film)
    film[10:30, 10:14] = 255
    write(root, "train/PNEUMONIA/person90_virus_1.png", film)
    (root / "train/NORMAL/broken.png").write_bytes(b"x")
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
    assert outline.open == [] and outline.tags.count("section") == 8
    assert outline.addresses and all(a.startswith("data:image/jpeg;base64,") for a in outline.addresses)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "script" not in outline.tags and "b" not in outline.tags  # names are text, not tags
    assert "hospital <b>" in outline.text and "$" not in outline.text
    assert "For teaching, not for diagnosis." in outline.text


def test_the_template_goes_into_the_wheel():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["pneumo_utils"] and "exclude" not in wheel  # with all that lies in it
    assert (ROOT / "pneumo_utils/report/templates/page.html").is_file()


def test_the_page_says_what_the_figures_say(audit):
    table, summary, findings = audit
    text = Outline(build_page(summary, findings, table)).text
    assert all(finding.title in text and finding.text in text for finding in findings)
    auroc = summary["shortcuts"]["scores"]["aspect"]["auroc"]
    assert f"{auroc:.3f}" in text and "undefined: It is the same for all films" in text
    assert "28 films, 1 damaged" in text
    assert "pair 1, correlation" in text and "Cannot be read: " in text


def test_json_holds_the_same_and_no_nan(audit):
    _, summary, findings = audit
    read = json.loads(format_json(summary, findings), parse_constant=lambda word: pytest.fail(word))
    assert read["num_films"] == 28 and read["num_readable"] == 27
    assert [f["title"] for f in read["findings"]] == [f.title for f in findings]
    assert read["duplicates"]["identical"]["across_splits"] == 1  # IM-0003 in train and test


def test_the_text_begins_with_the_serious_findings(audit):
    _, summary, findings = audit
    lines = format_text(summary, findings).splitlines()
    assert lines[0].startswith("28 films in ") and lines[1] == "train: 13 NORMAL + 13 PNEUMONIA"
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
    assert "2 films, 2 damaged" in text and "mean grey level: no film" in text
    assert summary["classes"]["NORMAL"]["width"] is None
    assert all(score["auroc"] is None for score in summary["shortcuts"]["scores"].values())


def test_histogram_points_are_shares_of_each_class():
    drawing = charts.make_histogram({"NORMAL": [0.0, 0.0, 0.0, 9.0], "PNEUMONIA": [9.0]}, title="a < b")
    first, second = re.findall(r'points="([^"]+)"', drawing)
    ground = charts.HEIGHT - charts.MARGIN

    def tops(points):
        return sorted({ground - float(point.split(",")[1]) for point in points.split()})

    # Three quarters of NORMAL lie lowest and one quarter highest; all of PNEUMONIA lies highest.
    full = ground - 4
    assert tops(first) == pytest.approx([0, full / 4, full * 3 / 4]) and tops(second) == pytest.approx(
        [0, full]
    )
    assert "a &lt; b" in drawing


def test_bars_reach_from_chance_to_certainty():
    bars = charts.make_bars(
        {
            "sure": {"auroc": 1.0, "interval": (0.9, 1.0), "reason": ""},
            "below chance": {"auroc": 0.4, "interval": (0.3, 0.5), "reason": ""},
            "none": {"auroc": None, "interval": None, "reason": "too <few>"},
        }
    )
    assert re.findall(r"width:([\d.]+)%", bars) == ["100.0", "20.0", "0.0", "0.0"]
    assert "undefined: too &lt;few&gt;" in bars and "0.400 (0.300 to 0.500)" in bars


def test_lists_are_cut_and_say_so():
    text = html.make_list("names", [f"film {i}" for i in range(1000)])
    assert text.count("<li>") == html.MAX_NAMES + 1 and "and 970 more" in text
    assert html.make_list("names", []) == ""


def test_a_marked_film_is_framed():
    plain, framed = (
        html.make_image(np.zeros((60, 60), np.uint8), "x", boxes=b) for b in ((), [(20, 20, 30, 30)])
    )
    assert plain != framed


def test_marked_films_are_picked_evenly(tmp_path):
    for i in range(20):
        film = make_blobs(i, height=224, width=224) // 3
        film[10:30, 10:13] = 250
        write(tmp_path, f"NORMAL/{i:02d}.png", film)
    films = read_facts(tmp_path).readable
    names = [film.file.path.stem for film in choose_marked(films, 0, 4)]
    assert names == ["00", "05", "10", "15"]
    assert len(choose_marked(films[:3], 0, 4)) == 3 and choose_marked(films, 1, 4) == []


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_prints_findings_and_writes_both_files(folder, tmp_path):
    done = run_pneumo("data", "audit", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[serious]" in done.stdout and "28 films" in done.stdout
    assert json.loads((tmp_path / "build/audit.json").read_text())["num_films"] == 28
    assert "<!DOCTYPE html>" in (tmp_path / "build/audit.html").read_text()


def test_json_is_alone_on_standard_output_and_the_page_goes_where_it_is_asked(folder, tmp_path):
    path = tmp_path / "new" / "page.html"
    done = run_pneumo("data", "audit", folder, "--json", "--html", path, cwd=tmp_path)
    assert json.loads(done.stdout) == json.loads((tmp_path / "build/audit.json").read_text())
    assert path.is_file() and not (tmp_path / "build/audit.html").exists()


def test_a_name_that_is_no_text_does_no_harm(tmp_path):
    film = make_blobs(0, height=224, width=224) // 3
    film[10:30, 10:13] = 250  # a mark, so that the page shows it under its name
    path = write(tmp_path / "films", "NORMAL/a.png", film)
    os.rename(path, os.fsencode(path.parent) + b"/bad\xff.png")
    write(tmp_path / "films", "PNEUMONIA/b.png", 1)
    done = run_pneumo("data", "audit", tmp_path / "films", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["num_readable"] == 2
    assert "NORMAL: bad?.png" in (tmp_path / "build/audit.html").read_text()


@pytest.mark.parametrize("kind", ["missing", "empty", "other names", "no films"])
def test_bad_folders_end_in_one_line(tmp_path, kind):
    root = tmp_path / "films"
    if kind != "missing":
        root.mkdir()
    if kind == "other names":
        write(root, "sick/a.png", 0)
    if kind == "no films":
        (root / "NORMAL").mkdir()
    done = run_pneumo("data", "audit", root, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("pneumo: ") and done.stderr.count("\n") == 1
    assert "expected" in done.stderr and not (tmp_path / "build").exists()
