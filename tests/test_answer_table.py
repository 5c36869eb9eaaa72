"""The table of answers: its cells, its torn ends, and whose answers it holds."""

import csv
import io

import pytest

from pneumo_utils.app.batch import COLUMNS, append_answers, format_answers, read_answered
from pneumo_utils.app.predictor import Prediction
from pneumo_utils.errors import PneumoError, UsageError

MODEL = {"model": "net", "threshold": 0.25}


def make_prediction(
    path: str, *, prob: float | None = 0.75, refer: bool | None = False, **changes
) -> Prediction:
    status, label = ("rejected", None) if prob is None else ("ok", "PNEUMONIA" if prob >= 0.25 else "NORMAL")
    values = {"path": path, "status": status, "label": label, "probability": prob, "refer": refer}
    values |= MODEL | {"trained_on": "somewhere", "warnings": [], "reason": None, "time_s": 0.5}
    return Prediction(**values | changes)


def test_cells_are_the_values_and_what_is_none_is_empty():
    answers = [
        make_prediction("a, b.png", warnings=["Small.", "Dark."]),
        make_prediction('"c"\n.png', prob=None, refer=None, reason="The file is empty."),
    ]
    first, second = csv.DictReader(io.StringIO(format_answers(answers), newline=""))
    assert first == {
        "path": "a, b.png",
        "status": "ok",
        "label": "PNEUMONIA",
        "probability": "0.75",
        "threshold": "0.25",
        "refer": "False",
        "model": "net",
        "trained_on": "somewhere",
        "warnings": "Small. Dark.",
        "reason": "",
        "time_s": "0.5",
    }
    assert (second["path"], second["probability"], second["refer"]) == ('"c"\n.png', "", "")
    assert second["reason"] == "The file is empty."


def test_rows_are_added_and_counted(tmp_path):
    path = tmp_path / "new" / "out.csv"
    first = append_answers(path, [make_prediction("a"), make_prediction("b", prob=0.1, refer=True)])
    assert first == {"NORMAL": 1, "PNEUMONIA": 1, "refer": 1, "rejected": 0}
    second = append_answers(path, [make_prediction("c", prob=None, refer=None)])
    assert second == {"NORMAL": 0, "PNEUMONIA": 0, "refer": 0, "rejected": 1}
    assert path.read_text().count("path,status") == 1
    assert read_answered(path, **MODEL) == {"a", "b", "c"}


def test_a_row_is_there_as_soon_as_it_is_answered(tmp_path):
    path, seen = tmp_path / "out.csv", []

    def answer():
        for name in "abc":
            seen.append(path.read_text().count("\n"))
            yield make_prediction(name)

    append_answers(path, answer())
    assert seen[1:] == [2, 3]  # the header and the rows before


def test_cut_at_any_byte_the_file_keeps_its_whole_rows_and_no_other(tmp_path):
    names = ["a", "two\nlines, and a comma", "c"]
    answers = [make_prediction(name, reason='said "no"\n') for name in names]
    content = format_answers(answers).encode()
    ends = [len(format_answers(answers[:count]).encode()) for count in range(4)]
    path = tmp_path / "out.csv"
    for length in range(ends[0], len(content) + 1):
        path.write_bytes(content[:length])
        whole = sum(end <= length for end in ends[1:])
        assert read_answered(path, **MODEL) == set(names[:whole])
        assert path.read_bytes() == content[: ends[whole]]


def test_a_header_cut_short_starts_anew(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("")
    assert read_answered(path, **MODEL) == set()
    append_answers(path, [make_prediction("a")])
    assert read_answered(path, **MODEL) == {"a"}


@pytest.mark.parametrize("other", [{"model": "another"}, {"threshold": 0.5}])
def test_answers_of_another_model_or_threshold_are_refused(tmp_path, other):
    path = tmp_path / "out.csv"
    append_answers(path, [make_prediction("a")])
    with pytest.raises(UsageError, match="another model or threshold"):
        read_answered(path, **MODEL | other)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x00\xff\xfe", b"just text"])
def test_other_files_are_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no table of answers"):
        read_answered(path, **MODEL)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PneumoError, match="cannot be written"):
        append_answers(tmp_path / "file" / "out.csv", [make_prediction("a")])
    with pytest.raises(PneumoError, match="cannot be read"):
        read_answered(tmp_path, **MODEL)


def test_the_columns_end_with_a_number():
    assert COLUMNS[0] == "path" and COLUMNS[-1] == "time_s"
