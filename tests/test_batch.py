"""Many files: a row for each, only a few held at once; the table of answers and what interrupts it."""

import csv
import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from abilities import needs_links
from conftest import make_checkpoint, make_chest_film, make_prediction, run_pneumo
from PIL import Image

from pneumo_utils.app.batch import COLUMNS, append_answers, choose_unanswered, format_answers, predict_files
from pneumo_utils.app.predictor import Predictor
from pneumo_utils.cli import main
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.runtime import lock_file

MODEL = {"model": "net", "threshold": 0.25}
"""Of `make_prediction`."""


@pytest.fixture(scope="module")
def predictor():
    return Predictor(make_checkpoint())


@pytest.fixture
def film_paths(tmp_path):
    """Seven files: the third is empty, the fifth a page."""
    paths = [tmp_path / f"{7 - i}.png" for i in range(7)]  # not in the order of their names
    for seed, path in enumerate(paths):
        Image.fromarray(make_chest_film(seed, shape=(160, 200))).save(path)
    paths[2].write_bytes(b"")
    paths[4].write_text("<html></html>", encoding="utf-8")
    return paths


def list_left(path, names, **other) -> list[str]:
    """The names of films that a table lacks."""
    return [str(film) for film in choose_unanswered(path, map(Path, names), **MODEL | other)]


def get_probs(answers) -> list[float]:
    return [float("nan") if answer.probability is None else answer.probability for answer in answers]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_each_file_gets_its_own_answer_in_the_order_asked(predictor, film_paths, batch_size):
    answers = list(predict_files(predictor, film_paths, batch_size=batch_size))
    assert [answer.path for answer in answers] == [str(path) for path in film_paths]
    assert [answer.status for answer in answers] == ["ok", "ok", "rejected", "ok", "rejected", "ok", "ok"]
    alone = [predictor.predict(path) for path in film_paths]
    np.testing.assert_allclose(*map(get_probs, (answers, alone)), atol=1e-5)


def test_no_files_no_answers(predictor):
    assert list(predict_files(predictor, [])) == []


@pytest.mark.long
def test_only_a_few_films_are_held_and_none_in_full_size(predictor, film_paths, monkeypatch):
    held, most, lock = 0, 0, threading.Lock()
    inner_read, inner_answer = predictor.read, predictor.answer

    def read(path):
        nonlocal held, most
        film = inner_read(path)
        assert film.input is None or film.input.size == 32 * 32
        with lock:
            held += 1
            most = max(most, held)
        return film

    def answer(films):
        nonlocal held
        with lock:
            held -= len(films)
        time.sleep(0.05)  # the readers would run ahead, were they not held back
        return inner_answer(films)

    monkeypatch.setattr(predictor, "read", read)
    monkeypatch.setattr(predictor, "answer", answer)
    assert len(list(predict_files(predictor, film_paths * 20, batch_size=4))) == 140
    assert 4 <= most <= 12


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.system
def test_the_command_writes_a_row_for_every_file_and_goes_on_where_it_was_broken_off(tmp_path, film_paths):
    whole, broken = tmp_path.parent / "whole.csv", tmp_path.parent / "broken.csv"
    ask = ["inference", tmp_path, "--shipped", "--csv"]
    done = run_pneumo(*ask, whole, cwd=tmp_path.parent)
    assert done.returncode == 0 and "7 rows added" in done.stderr and done.stdout == ""
    rows = read_rows(whole)
    assert [row["path"] for row in rows] == sorted(str(path) for path in film_paths)
    assert sum(row["status"] == "rejected" for row in rows) >= 2
    content = whole.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    again = run_pneumo(*ask, broken, cwd=tmp_path.parent)
    assert again.returncode == 0 and "have their row" in again.stderr
    resumed = read_rows(broken)
    for name in ("path", "status", "label", "threshold", "refer", "model", "warnings", "reason"):
        assert [row[name] for row in resumed] == [row[name] for row in rows]
    # A probability may differ in the last digits with the films that share its batch.
    np.testing.assert_allclose(
        *([float(row["probability"] or "nan") for row in table] for table in (rows, resumed)), atol=1e-5
    )


@pytest.mark.slow
def test_killed_at_any_moment_the_table_is_completed(tmp_path, film_paths):
    path = tmp_path.parent / "killed.csv"
    words = [sys.executable, "-m", "pneumo_utils", "inference", tmp_path, "--shipped", "--csv", path]
    process = subprocess.Popen([str(word) for word in words], stderr=subprocess.DEVNULL)
    while process.poll() is None and (not path.exists() or path.read_text(encoding="utf-8").count("\n") < 2):
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = run_pneumo(*words[3:], cwd=tmp_path.parent)
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in read_rows(path)] == sorted(str(film) for film in film_paths)


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
    assert path.read_text(encoding="utf-8").count("path,status") == 1
    assert list_left(path, "abcd") == ["c", "d"]  # what was rejected is asked again
    assert path.read_text(encoding="utf-8") == format_answers(
        [make_prediction("a"), make_prediction("b", prob=0.1, refer=True)]
    )


def test_a_row_is_there_as_soon_as_it_is_answered(tmp_path):
    path, seen = tmp_path / "out.csv", []

    def answer():
        for name in "abc":
            seen.append(path.read_text(encoding="utf-8").count("\n"))
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
        assert list_left(path, names) == names[whole:]
        assert path.read_bytes() == content[: ends[whole]]


def test_a_header_cut_short_starts_anew(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("", encoding="utf-8")
    assert list_left(path, "a") == ["a"]
    append_answers(path, [make_prediction("a")])
    assert list_left(path, "a") == []


@pytest.mark.parametrize("other", [{"model": "another"}, {"threshold": 0.5}])
def test_answers_of_another_model_or_threshold_are_refused(tmp_path, other):
    path = tmp_path / "out.csv"
    append_answers(path, [make_prediction("a")])
    with pytest.raises(UsageError, match="another model or threshold"):
        list_left(path, "a", **other)


OPENED = b'"' + b"x" * 131_073  # by a quotation mark: a cell larger than Python's csv reads
HEADER = format_answers([]).encode()


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x00\xff\xfe", b"just text", HEADER + OPENED + b"\n"])
def test_other_files_are_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no table of answers"):
        list_left(path, "a")
    assert path.read_bytes() == content


OURS = format_answers([make_prediction("a", threshold=1 / 3), make_prediction("b", threshold=1 / 3)])


@pytest.mark.parametrize(
    "saved",
    [
        "\ufeff" + OURS,  # "CSV UTF-8"
        OURS.replace(",", ";").replace("0.", "0,"),  # where the decimal sign is a comma
        OURS.replace("\n", "\r\n").replace("False", "FALSE"),  # plain "CSV"
        OURS.replace("0.3333333333333333", "0.333333333"),
        OURS.replace(",somewhere,,,0.5\nb", "\nb"),  # a row whose last cells were deleted
    ],
)
def test_a_table_that_excel_has_saved_again_is_refused_by_that_name_and_left_alone(tmp_path, saved):
    path = tmp_path / "out.csv"
    path.write_text(OURS, newline="", encoding="utf-8")
    assert list_left(path, "abc", threshold=1 / 3) == ["c"]
    path.write_text(saved, encoding="utf-8", newline="")
    with pytest.raises(UsageError, match="Excel"):
        list_left(path, "abc", threshold=1 / 3)
    assert path.read_bytes() == saved.encode()


def ask_for_table(path, *films, code: int = 0) -> list[dict]:
    """The rows of a table after the command has added to it."""
    assert main(["inference", *map(str, films), "--shipped", "--csv", str(path)]) == code
    return read_rows(path)


@needs_links
def test_one_folder_by_three_paths_has_each_film_once_in_this_run_and_the_next(tmp_path, monkeypatch):
    folder, table = tmp_path / "films", tmp_path / "out.csv"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(make_chest_film(seed, shape=(160, 200))).save(folder / f"{seed}.png")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    ways = ["link", folder, "films", Path("films") / ".." / "link"]
    for asked in (ways[:1], ways[1:], ways, [folder / "0.png", "films/0.png", "link/0.png"]):
        assert [row["path"] for row in ask_for_table(table, *asked)] == [
            str(tmp_path / "link" / f"{seed}.png") for seed in range(3)
        ]
    # A name that means another film in another folder is another row.
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(make_chest_film(9, shape=(160, 200))).save(tmp_path / "elsewhere" / "0.png")
    for place, count in ((folder, 3), (tmp_path / "elsewhere", 4)):
        monkeypatch.chdir(place)
        assert len(ask_for_table(table, "0.png")) == count


def test_a_film_that_was_rejected_is_asked_again_and_has_one_row(tmp_path, film_paths, capsys):
    table, torn = tmp_path / "out.csv", film_paths[2]
    for _ in range(2):
        rows = ask_for_table(table, *film_paths)
        assert [row["path"] for row in rows] == [str(path) for path in film_paths]
        assert [row["path"] for row in rows if row["status"] == "rejected"] == [str(torn), str(film_paths[4])]
    assert "5 of 7 files have their row" in capsys.readouterr().err
    torn.write_bytes(film_paths[0].read_bytes())
    rows = ask_for_table(table, torn)  # the rejected film that is not asked for keeps its row
    assert len(rows) == 7 and [row["path"] for row in rows if row["reason"]] == [str(film_paths[4])]
    rows = ask_for_table(table, *film_paths)
    assert [row["path"] for row in rows] == [str(path) for path in film_paths]


def test_films_of_which_none_is_answered_are_a_failure_and_one_answer_is_none(tmp_path, film_paths, capsys):
    table, bad = tmp_path / "out.csv", film_paths[2]
    ask_for_table(table, bad, film_paths[4], code=1)
    assert "No film could be answered" in capsys.readouterr().err
    ask_for_table(table, bad, film_paths[0])
    ask_for_table(table, bad, film_paths[0])  # it has its row already
    for flags in ([], ["--json"]):
        assert main(["inference", str(bad), "--shipped", *flags]) == 1
        assert main(["inference", str(bad), str(film_paths[0]), "--shipped", *flags]) == 0


def test_a_table_that_another_process_writes_is_in_use_until_it_ends(tmp_path, film_paths, capsys):
    table = tmp_path / "out.csv"
    with lock_file(table, holder="another"):
        assert main(["inference", str(film_paths[0]), "--shipped", "--csv", str(table)]) == 1
        said = capsys.readouterr().err
        assert f"{table} is in use by another `pneumo inference`" in said and not table.exists()
    assert len(ask_for_table(table, *film_paths[:2])) == 2
    # Named by a shell's `folder/*`, neither the table nor its lock is a film.
    lock = Path(f"{table}.lock")
    lock.touch()
    assert len(ask_for_table(table, *film_paths[:2], table, lock)) == 2


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PneumoError, match="cannot be written"):
        append_answers(tmp_path / "file" / "out.csv", [make_prediction("a")])
    with pytest.raises(OSError):
        list_left(tmp_path, "a")


def test_the_columns_end_with_a_number():
    assert COLUMNS[0] == "path" and COLUMNS[-1] == "time_s"
