"""Answers as a CSV file: a row a film, and a run that was broken off goes on where it stopped."""

import csv
import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

from pneumo_utils.app.predictor import Prediction, Predictor
from pneumo_utils.errors import PneumoError, UsageError

BATCH_SIZE = 16
NUM_READERS = max(2, os.cpu_count() or 1)


def predict_files(
    predictor: Predictor,
    paths: Iterable[Path],
    *,
    batch_size: int = BATCH_SIZE,
    num_readers: int = NUM_READERS,
) -> Iterator[Prediction]:
    """Answers for files, one after the other, however many there are.

    The films of the next two batches are read while one is answered; no more are ever held.

    Args:
        predictor: Answers for the films.
        paths: Files, of any kind.
        batch_size: Films in one pass of the model, 1 or more.
        num_readers: Threads that read films, 1 or more.

    Yields:
        One prediction a file, in the order of the paths; what cannot be read is rejected.
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


COLUMNS = tuple(field.name for field in fields(Prediction))


def format_answers(predictions: Iterable[Prediction], *, header: bool = True) -> str:
    """Predictions as CSV: `COLUMNS`, one row each; what is None is left empty, warnings stand in one cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    for prediction in predictions:
        values = prediction.to_dict() | {"warnings": " ".join(prediction.warnings)}
        writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
    return stream.getvalue()


def read_answered(path: Path, *, model: str, threshold: float) -> set[str]:
    """The films that a file of answers has a row for already; a row that was cut short is taken out.

    Args:
        path: A file that `append_answers` wrote; need not be there.
        model: Whose answers they must be.
        threshold: At which they must have been decided.

    Returns:
        Their paths, as text.

    Raises:
        UsageError: The file holds something else, or answers of another model or threshold.
        PneumoError: The file cannot be read or written.
    """
    if not path.exists():
        return set()
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, csv.Error) as error:
        raise PneumoError(f"{path} cannot be read as a table of answers ({error}). Name another.") from error
    if rows and tuple(rows[0]) != COLUMNS:
        raise UsageError(f"{path} is no table of answers; name another file, or remove this one.")
    # The last cell is a number, so that a row is whole if it has all cells and the line is ended.
    if rows and (not text.endswith("\n") or len(rows[-1]) != len(COLUMNS)):
        rows.pop()
        _rewrite(path, rows)
    found = {(row[COLUMNS.index("model")], row[COLUMNS.index("threshold")]) for row in rows[1:]}
    if found - {(model, str(threshold))}:
        raise UsageError(
            f"{path} holds answers of another model or threshold than {model} at {threshold:.3f}; name "
            "another file, or remove this one."
        )
    return {row[0] for row in rows[1:]}


def append_answers(path: Path, predictions: Iterable[Prediction]) -> dict[str, int]:
    """Adds rows to a file of answers, each as soon as it is there.

    Args:
        path: The file; made with its header where absent or empty.
        predictions: Answers, one after the other.

    Returns:
        How many rows were added by what they say: a class name, "refer" (also counted under its class) or
        "rejected".

    Raises:
        PneumoError: The file cannot be written.
    """
    counts = dict.fromkeys(("NORMAL", "PNEUMONIA", "refer", "rejected"), 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", newline="", encoding="utf-8", errors="surrogateescape") as file:
            if file.tell() == 0:
                file.write(format_answers([]))
            for prediction in predictions:
                file.write(format_answers([prediction], header=False))
                file.flush()
                counts[prediction.label or "rejected"] += 1
                counts["refer"] += bool(prediction.refer)
    except OSError as error:
        raise PneumoError(f"{path} cannot be written ({error}). Free space, or name another file.") from error
    return counts


def _rewrite(path: Path, rows: list[list[str]]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        os.replace(temporary, path)
    except OSError as error:
        raise PneumoError(f"{path} cannot be written ({error}). Free space, or name another file.") from error
    finally:
        temporary.unlink(missing_ok=True)
