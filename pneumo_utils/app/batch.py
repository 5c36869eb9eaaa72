"""Batch inference over many files, and its table: a CSV row a film, which a broken-off run goes on with."""

import csv
import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from operator import itemgetter
from pathlib import Path

from pneumo_utils.app.predictor import Prediction, Predictor
from pneumo_utils.data.folders import find_place
from pneumo_utils.errors import PneumoError, UsageError, first_line
from pneumo_utils.runtime import write_atomically

BATCH_SIZE = 16
NUM_READERS = max(2, os.cpu_count() or 1)
COLUMNS = tuple(field.name for field in fields(Prediction))
_CODEC = ("utf-8", "surrogateescape")  # names of files may be any bytes


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
    waiting: deque = deque()

    def answer(count: int) -> list[Prediction]:
        return predictor.answer([waiting.popleft().result() for _ in range(count)])

    # Films are decoded and ONNX Runtime computes outside Python's lock.
    with ThreadPoolExecutor(num_readers) as pool:
        for path in paths:
            waiting.append(pool.submit(predictor.read, path))
            if len(waiting) == 3 * batch_size:
                yield from answer(batch_size)
        while waiting:
            yield from answer(min(batch_size, len(waiting)))


def format_answers(predictions: Iterable[Prediction], *, header: bool = True) -> str:
    """Predictions as CSV: `COLUMNS`, one row each; what is None is left empty, warnings stand in one cell."""
    rows = (vars(p) | {"warnings": " ".join(p.warnings)} for p in predictions)
    return _format_rows(rows, header=header)


def _format_rows(rows: Iterable[dict], *, header: bool = True) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def choose_unanswered(path: Path, films: Iterable[Path], *, model: str, threshold: float) -> list[Path]:
    """The films that lack an answer in a file of `append_answers`, by whatever path they were named then.

    Out of the file go a row that was cut short, and the rows of films that were rejected: they are asked
    again, since they may have been mended, or have been copied while they were read. A file of something
    else, or of answers of another model or threshold, is a UsageError.
    """
    places = {find_place(film): film for film in films}
    rows = _read_rows(path)
    if {(row["model"], row["threshold"]) for row in rows} - {(model, str(threshold))}:
        raise UsageError(
            f"{path} holds answers of another model or threshold than {model} at {threshold:.3f}, or was "
            "saved by Excel, which rounds numbers; name another file, or remove this one."
        )
    found = [(find_place(Path(row["path"])), row) for row in rows]
    kept = [(place, row) for place, row in found if row["status"] == "ok" or place not in places]
    _write_rows(path, [row for _, row in kept])
    done = {place for place, _ in kept}
    return [film for place, film in places.items() if place not in done]


def sort_answers(path: Path, films: Iterable[Path]) -> None:
    """Puts the rows of these films in their order; those of others stay where they are in the file."""
    ranks = {find_place(film): rank for rank, film in enumerate(films)}
    rows = [(ranks.get(find_place(Path(row["path"]))), row) for row in _read_rows(path)]
    own = iter(sorted((pair for pair in rows if pair[0] is not None), key=itemgetter(0)))
    _write_rows(path, [row if rank is None else next(own)[1] for rank, row in rows])


def _read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that are whole; none if there is no table."""
    text = path.read_bytes().decode(*_CODEC) if path.exists() else ""
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error:  # a quotation mark that nothing closes
        rows, text = [], "no table"
    # The last cell is a number, so that a row is whole if it has all cells and the line is ended.
    if rows and (not text.endswith("\n") or None in rows[-1].values()):
        rows.pop()
    if text and not text.startswith(_format_rows(rows)):
        raise UsageError(
            f"{path} is no table of answers as they are written here (Excel saves it with other signs, and "
            "rounds its numbers); name another file, or remove this one."
        )
    return rows


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    content = _format_rows(rows).encode(*_CODEC)
    if path.exists() and path.read_bytes() != content:
        write_atomically(path.resolve(), lambda file: file.write(content))


def append_answers(path: Path, predictions: Iterable[Prediction]) -> dict[str, int]:
    """Adds rows to a file of answers, each as soon as it is there; the file is made if absent.

    Returns how many were added of each class, "refer" (also counted under its class) and "rejected".
    """
    counts = dict.fromkeys(("NORMAL", "PNEUMONIA", "refer", "rejected"), 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() == 0:
                file.write(format_answers([]).encode(*_CODEC))
            for prediction in predictions:
                file.write(format_answers([prediction], header=False).encode(*_CODEC))
                file.flush()
                counts[prediction.label or "rejected"] += 1
                counts["refer"] += bool(prediction.refer)
    except OSError as error:
        raise PneumoError(
            f"{path} cannot be written ({first_line(error)}). Free space, or name another file."
        ) from error
    return counts
