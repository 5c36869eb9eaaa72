"""The results file and the tables made from it."""

import json

import pytest

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.results import END, START, format_table, load_results, save_result, write_table


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
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_no_file_means_no_rows_and_a_damaged_one_is_named(tmp_path):
    assert load_results(tmp_path / "r.json") == []
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(PneumoError, match=r"r\.json is not a results file"):
        load_results(tmp_path / "r.json")


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


def test_a_page_gets_the_test_rows_between_its_marks(tmp_path):
    results, page = tmp_path / "r.json", tmp_path / "README.md"
    save_result(make_row(), results)
    save_result(make_row(split="val", accuracy=0.99), results)
    page.write_text(f"above\n{START}\nold\n{END}\nbelow\n")
    write_table(results, page)
    rows = [row for row in json.loads(results.read_text())["rows"] if row["split"] == "test"]
    assert page.read_text() == f"above\n{START}\n{format_table(rows)}\n{END}\nbelow\n"


def test_a_page_without_marks_is_refused(tmp_path):
    save_result(make_row(), tmp_path / "r.json")
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(PneumoError, match="marks"):
        write_table(tmp_path / "r.json", tmp_path / "README.md")
