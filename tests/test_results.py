"""The results file, its tables, and our figures beside published ones."""

import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from conftest import list_kept, read_texts

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.results import (
    PUBLISHED,
    format_beside_published,
    format_interval,
    format_table,
    load_results,
    save_result,
)
from tools.readme import plot_beside_published


def make_row(model="cnn_baseline", split="test", data="chestxray2017", accuracy=0.9):
    names = ("accuracy", "auroc", "sensitivity", "specificity")
    figures = {name: accuracy for name in names}
    intervals = {name: (accuracy - 0.02, accuracy + 0.02) for name in names}
    about = {"model": model, "split": split, "data": data, "n": 624, "threshold": 0.25, "pretrained": False}
    return about | figures | {"intervals": intervals}


def test_a_row_replaces_the_older_one_of_the_same_kind(tmp_path):
    path = tmp_path / "new" / "results.json"
    for row in (make_row(), make_row("resnet_finetune"), make_row(split="val"), make_row(accuracy=0.8)):
        save_result(row, path)
    rows = load_results(path)
    assert [(r["split"], r["model"], r["accuracy"]) for r in rows] == [
        ("test", "cnn_baseline", 0.8),
        ("test", "resnet_finetune", 0.9),
        ("val", "cnn_baseline", 0.9),
    ]
    assert list_kept(path.parent) == ["results.json"]


def test_no_file_means_no_rows_and_a_damaged_one_is_named(tmp_path):
    assert load_results(tmp_path / "r.json") == []
    (tmp_path / "r.json").write_text("{", encoding="utf-8")
    with pytest.raises(PneumoError, match=r"r\.json is not a table of rows"):
        load_results(tmp_path / "r.json")


@pytest.mark.parametrize(
    "content", ["{", "", "[]", '{"rows": 5}', '{"rows": [1]}', '{"rows": [{"model": "m"}]}', b"\xff\x00"]
)
def test_a_file_that_is_no_results_is_kept_aside_and_costs_no_row(tmp_path, capsys, content):
    path = tmp_path / "results.json"
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(content)
    save_result(make_row(), path)
    assert [row["model"] for row in load_results(path)] == ["cnn_baseline"]
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.read_bytes() == content and f"kept as {aside.name}" in capsys.readouterr().err


ADDING = """
import sys
from pathlib import Path
from pneumo_utils.evaluation.results import save_result
for number in range(30):
    save_result({"data": sys.argv[2], "split": "val", "model": str(number)}, Path(sys.argv[1]))
"""


@pytest.mark.system
def test_of_rows_from_several_processes_at_once_none_is_lost(tmp_path):
    path = tmp_path / "results.json"
    words = [sys.executable, "-c", ADDING, str(path)]
    for process in [subprocess.Popen([*words, name]) for name in "abc"]:
        assert process.wait() == 0
    assert len(load_results(path)) == 3 * 30


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "build").write_text("a file", encoding="utf-8")
    with pytest.raises(PneumoError, match=r"Nothing can be kept in .*build is no folder"):
        save_result(make_row(), tmp_path / "build" / "results.json")


def test_the_table_shows_figures_with_intervals():
    line = format_table([make_row()]).splitlines()[-1]
    assert "| `cnn_baseline` | random weights | 0.250 |" in line
    assert "90.0 (88.0 to 92.0)" in line and "0.900 (0.880 to 0.920)" in line


def test_every_line_of_the_table_has_the_same_cells():
    lines = format_table([make_row(), make_row("resnet_finetune")]).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1


def test_phantoms_are_marked():
    assert "| SYNTHETIC |" in format_table([make_row(data="synthetic")])


def test_an_undefined_figure_is_said_to_be_undefined():
    row = make_row() | {"auroc": None}
    assert "| undefined |" in format_table([row])


@pytest.mark.parametrize(
    ("value", "interval", "percent", "expected"),
    [
        (0.9124, (0.88, 0.9406), False, "0.912 (0.880 to 0.941)"),
        (0.9124, [0.88, 0.9406], True, "91.2 % (88.0 % to 94.1 %)"),  # a list, as from a results file
        (0.0, (0.0, 0.0), False, "0.000 (0.000 to 0.000)"),
        (0.9124, (None, None), False, "0.912"),
        (0.9124, None, True, "91.2 %"),
        (None, (None, None), False, "undefined"),
        (None, (0.1, 0.2), True, "undefined"),
    ],
)
def test_a_figure_and_its_interval_in_words(value, interval, percent, expected):
    assert format_interval(value, interval, percent=percent) == expected


ROW = {
    "model": "cnn_baseline",
    "data": "chestxray2017",
    "n": 8,
    "accuracy": 0.75,
    "auroc": 0.9,
    "intervals": {"accuracy": (0.5, 1.0), "auroc": (0.8, 0.95)},
    "confusion": {"tn": 1, "fp": 1, "fn": 1, "tp": 5},
}


def test_the_table_has_intervals_for_ours_sources_for_others_and_the_rival_without_films():
    head, _, ours, *others, rival = format_beside_published([ROW]).splitlines()
    assert ours == "| **ours**: `cnn_baseline` | 75.0 (50.0 to 100.0) | 0.900 (0.800 to 0.950) | here |"
    assert len(others) == len(PUBLISHED) and all("](https://" in line for line in others)
    assert "| 92.8 | 0.968 |" in next(line for line in others if "Kermany" in line)
    assert rival == "| calling every film pneumonia | 75.0 | 0.500 | |"  # 6 of 8 are ill
    assert len({line.count("|") for line in (head, ours, *others, rival)}) == 1


def test_other_films_are_named():
    ours = format_beside_published([ROW | {"data": "synthetic"}]).splitlines()[2]
    assert ours.endswith("| here, on other films: SYNTHETIC |")


@pytest.mark.usefixtures("closed_figures")
def test_the_figure_marks_each_figure_and_draws_the_intervals_of_ours():
    figure = plot_beside_published([ROW, ROW | {"model": "other"}], title="Beside")
    texts = read_texts(figure)
    assert all(text in texts for text in ("Beside", "ours: other", "75.0%", "0.900", "92.8%", "0.968"))
    for axes, metric in zip(figure.axes, ("accuracy", "auroc"), strict=True):
        lines = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
        assert lines == [ROW["intervals"][metric]] * 2
        assert len(axes.texts) == 2 + len(PUBLISHED)
    plt.close(figure)
