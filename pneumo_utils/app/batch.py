"""Batch inference over many files, and its table: a CSV row a film, which a broken-off run goes on with."""

import csv
import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from pneumo_utils.app.predictor import Prediction, Predictor
from pneumo_utils.data.folders import find_place
from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.runtime import write_atomically

BATCH_SIZE = 16
NUM_READERS = max(2, os.cpu_count() or 1)
COLUMNS = tuple(field.name for field in fields(Prediction))
_TEXT = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}  # names of files may be any bytes


def predict_files(
    predictor: Predictor,
    paths: Iterable[Path],
    *,
    batch_size: int = BATCH_SIZE,
    num_readers: int = NUM_READERS,
) -> Iterator[Prediction]:
    """Answers for files, in their order, however many; what cannot be read is rejected.

    The films of the next two batches are read, by threads, while one is answered; no more are ever held.
    """
    waiting = deque()

    def answer(count: int) -> list[Prediction]:
        return predictor.answer([waiting.popleft().result() for _ in range(count)])

    # Pillow decodes and ONNX Runtime computes outside Python's lock.
    with ThreadPoolExecutor(num_readers) as pool:
        for path in paths:
            waiting.append(pool.submit(predictor.read, path))
            if len(waiting) == 3 * batch_size:
                yield from answer(batch_size)
        while waiting:
            yield from answer(min(batch_size, len(waiting)))


def format_answers(predictions: Iterable[Prediction], *, header: bool = True) -> str:
    """Predictions as CSV: `COLUMNS`, one row each; what is None is left empty, warnings stand in one cell."""
    rows = [COLUMNS] if header else []
    rows += [(p.to_dict() | {"warnings": " ".join(p.warnings)}).values() for p in predictions]
    return _format_rows(rows)


def _format_rows(rows: Iterable[Iterable]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def choose_unanswered(path: Path, films: Iterable[Path], *, model: str, threshold: float) -> list[Path]:
    """The films that lack a row in a file of `append_answers`, by whatever path they were named then.

    A row that was cut short is taken out of the file, and the rows of rejected films, which are asked again:
    they may have been mended, or were being copied.

    Raises:
        UsageError: The file holds something else, or answers of another model or threshold.
        PneumoError: The file cannot be read or written.
    """
    places = {find_place(film): film for film in films}
    if not path.exists():
        return list(places.values())
    text, rows = _read_rows(path)
    found = {(row[COLUMNS.index("model")], row[COLUMNS.index("threshold")]) for row in rows}
    if found - {(model, str(threshold))}:
        raise UsageError(
            f"{path} holds answers of another model or threshold than {model} at {threshold:.3f}, or was "
            "saved by Excel, which rounds numbers; name another file, or remove this one."
        )
    rejected = {find_place(Path(row[0])) for row in rows if row[COLUMNS.index("status")] == "rejected"}
    kept = [row for row in rows if find_place(Path(row[0])) not in rejected & places.keys()]
    if text != (kept_text := _format_rows([COLUMNS, *kept])):
        with _name_failure(path):
            write_atomically(path.resolve(), lambda temporary: temporary.write_text(kept_text, **_TEXT))
    done = {find_place(Path(row[0])) for row in kept}
    return [film for place, film in places.items() if place not in done]


def _read_rows(path: Path) -> tuple[str, list[list[str]]]:
    """The text of a table, and its rows that are whole, without the header."""
    try:
        with path.open(**_TEXT) as file:
            text = file.read()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, csv.Error) as error:
        raise PneumoError(
            f"{path} cannot be read as a table of answers ({first_line(error)}). Name another."
        ) from error
    is_table = not rows or tuple(rows[0]) == COLUMNS
    # The last cell is a number, so that a row is whole if it has all cells and the line is ended.
    if rows and (not text.endswith("\n") or len(rows[-1]) != len(COLUMNS)):
        rows.pop()
    is_own = text.startswith(_format_rows(rows)) and all(len(row) == len(COLUMNS) for row in rows)
    if not (is_table and is_own):
        raise UsageError(
            f"{path} is no table of answers as they are written here (Excel saves it with other signs, and "
            "rounds its numbers); name another file, or remove this one."
        )
    return text, rows[1:]


def append_answers(path: Path, predictions: Iterable[Prediction]) -> dict[str, int]:
    """Adds rows to a file of answers, each as soon as it is there; the file is made if absent.

    Returns:
        How many were added of each class, "refer" (also counted under its class) and "rejected".
    """
    counts = dict.fromkeys(("NORMAL", "PNEUMONIA", "refer", "rejected"), 0)
    with _name_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", **_TEXT) as file:
            if file.tell() == 0:
                file.write(format_answers([]))
            for prediction in predictions:
                file.write(format_answers([prediction], header=False))
                file.flush()
                counts[prediction.label or "rejected"] += 1
                counts["refer"] += bool(prediction.refer)
    return counts


@contextmanager
def _name_failure(path: Path):
    try:
        yield
    except OSError as error:
        raise PneumoError(
            f"{path} cannot be written ({first_line(error)}). Free space, or name another file."
        ) from error
