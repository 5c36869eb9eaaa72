"""Answers for many files: read side by side, answered in batches, in their order, at a flat memory."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pneumo_utils.errors import PneumoError
from pneumo_utils.inference.prediction import Prediction
from pneumo_utils.inference.predictor import Predictor

BATCH_SIZE = 16
NUM_READERS = max(2, os.cpu_count() or 1)


def predict_files(
    predictor: Predictor, paths: Iterable[Path], *, batch_size: int = BATCH_SIZE
) -> Iterator[Prediction]:
    """Answers for files, one after the other, however many there are.

    The films of the next two batches are read while one is answered; no more are ever held.

    Args:
        predictor: Answers for the films.
        paths: Files, of any kind.
        batch_size: Films in one pass of the model, 1 or more.

    Yields:
        One prediction a file, in the order of the paths; what cannot be read is rejected.
    """
    waiting = deque()

    def answer(count: int) -> list[Prediction]:
        return predictor.answer([waiting.popleft().result() for _ in range(count)])

    # Pillow decodes and ONNX Runtime computes outside Python's lock.
    with ThreadPoolExecutor(NUM_READERS) as pool:
        for path in paths:
            waiting.append(pool.submit(predictor.read, path))
            if len(waiting) == 3 * batch_size:
                yield from answer(batch_size)
        while waiting:
            yield from answer(min(batch_size, len(waiting)))


def list_files(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are named, folders as all files below them, sorted; hidden ones are left out.

    A folder's files are taken whatever their names: films of a scanner often come without a suffix.

    Raises:
        PneumoError: A path is not there, or a folder has no files.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p, path))
            if not inside:
                raise PneumoError(f"{path} holds no files; expected films in it. Check the path.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise PneumoError(f"{path} is not there; expected an image file or a folder. Check the path.")
    return found


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
