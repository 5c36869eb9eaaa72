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
from pneumo_utils.errors import PneumoError, UsageError
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


def read_answered(path: Path, *, model: str, threshold: float) -> set[str]:
    """The films that a file of `append_answers` has rows for, if any; a row that was cut short is taken out.

    Raises:
        UsageError: The file holds something else, or answers of another model or threshold.
        PneumoError: The file cannot be read or written.
    """
    if not path.exists():
        return set()
    try:
        with path.open(**_TEXT) as file:
            text = file.read()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, csv.Error) as error:
        raise PneumoError(f"{path} cannot be read as a table of answers ({error}). Name another.") from error
    if rows and tuple(rows[0]) != COLUMNS:
        raise UsageError(f"{path} is no table of answers; name another file, or remove this one.")
    # The last cell is a number, so that a row is whole if it has all cells and the line is ended.
    if rows and (not text.endswith("\n") or len(rows[-1]) != len(COLUMNS)):
        rows.pop()
        with _name_failure(path):
            write_atomically(path, lambda temporary: temporary.write_text(_format_rows(rows), **_TEXT))
    found = {(row[COLUMNS.index("model")], row[COLUMNS.index("threshold")]) for row in rows[1:]}
    if found - {(model, str(threshold))}:
        raise UsageError(
            f"{path} holds answers of another model or threshold than {model} at {threshold:.3f}; name "
            "another file, or remove this one."
        )
    return {row[0] for row in rows[1:]}


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
        raise PneumoError(f"{path} cannot be written ({error}). Free space, or name another file.") from error
