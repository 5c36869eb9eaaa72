"""The results file and the tables made from it."""

import pytest

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.results import (
    format_interval,
    format_table,
    load_results,
    save_result,
    write_between,
)


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


PAGE = "above\n<!-- a:start -->\nold\n<!-- a:end -->\nbetween\n<!-- b:start -->\n<!-- b:end -->\nbelow\n"


def test_a_page_gets_a_text_between_the_marks_of_that_name_and_nowhere_else(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    write_between("b", "new ± 1", page)
    expected = PAGE.replace("<!-- b:start -->\n", "<!-- b:start -->\nnew ± 1\n")
    assert page.read_text(encoding="utf-8") == expected
    write_between("a", "| a | table |\n| of | lines |", page)
    assert page.read_text(encoding="utf-8") == expected.replace("old", "| a | table |\n| of | lines |")


def test_writing_again_replaces_what_was_written(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    for text in ("first\n\nand more", "second"):
        write_between("a", text, page)
    assert page.read_text() == PAGE.replace("old", "second")


@pytest.mark.parametrize("content", ["no marks", "<!-- a:start -->\n", "<!-- a:end -->\n", PAGE])
def test_a_page_without_both_marks_is_refused_and_left_alone(tmp_path, content):
    page = tmp_path / "README.md"
    page.write_text(content)
    mark = "c" if content == PAGE else "a"
    with pytest.raises(PneumoError, match=rf"README\.md lacks the marks <!-- {mark}:start -->"):
        write_between(mark, "new", page)
    assert page.read_text() == content


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
