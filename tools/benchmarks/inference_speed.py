"""How fast films are answered, as ratios to what the same machine needs for something known.

FOLDER holds films in their original size; they are linked again and again until there are enough, for which
Windows asks for a right.

1. `pneumo inference film`, the whole process, over `python -c "import torch"`.
2. One film after the other with the model loaded, ONNX Runtime over torch as it comes, for each model that
   ships; in blocks of ten, since torch's threads go on spinning for a while.
3. A folder of films answered by `cnn_baseline`, over decoding the same films with as many threads: in full
   size, and as an answer needs them, where the decoder makes a large JPEG smaller.

The two sides of a ratio take turns; it is that of their medians, beside the lowest and highest of a pair.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pneumo_utils.app.batch import NUM_READERS, predict_files
from pneumo_utils.app.predictor import OnnxEngine, Predictor, TorchEngine
from pneumo_utils.data.folders import list_files
from pneumo_utils.data.images import load_image
from pneumo_utils.models.shipped import list_shipped, load_shipped
from tools.benchmarks import compute_ratio

MODEL = "cnn_baseline"
NUM_BLOCKS, BLOCK = 5, 10


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("folder", type=Path, help="films in their original size")
    parser.add_argument("--films", type=int, default=1000, help="in the folder that is answered")
    parser.add_argument("--repeats", type=int, default=5, help="of the first; the last has three at most")


def measure(arguments) -> dict:
    """All ratios."""
    films, repeats = list_files([arguments.folder])[0], arguments.repeats
    rows = {"process over import torch": compare_processes(films[0], repeats=repeats)}
    rows |= {f"engine {name}": compare_engines(name, films[0]) for name in list_shipped()}
    size = load_shipped(MODEL).transform.image_size
    ways = {
        "in full size": load_image,
        "at the size that is needed": lambda path: load_image(path, image_size=size),
    }
    with tempfile.TemporaryDirectory() as temporary:
        for index, film in enumerate(itertools.islice(itertools.cycle(films), arguments.films)):
            (Path(temporary) / f"{index:05d}{film.suffix}").symlink_to(film.resolve())
        for name, decode in ways.items():
            row = compare_folders(Path(temporary), decode, repeats=min(3, repeats))
            rows[f"folder over decoding {name}"] = row
    for name, row in rows.items():
        print(f"{name}: {row}")
    return {"cores": os.cpu_count(), "films": arguments.films, **rows}


def compare(work: Callable[[], object], known: Callable[[], object], *, repeats: int) -> dict:
    """Times of both in turn after one call each, seconds, and their ratio."""
    work(), known()
    times = {"own": [], "known": []}
    for _ in range(repeats):
        for name, call in (("own", work), ("known", known)):
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    medians = {f"{name}_s": statistics.median(values) for name, values in times.items()}
    return {**compute_ratio(times["own"], times["known"]), **medians, "repeats": repeats}


def compare_processes(film: Path, *, repeats: int) -> dict:
    """The first ratio."""

    def run(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)

    ask = run("-m", "pneumo_utils", "inference", "--shipped", str(film))
    return compare(ask, run("-c", "import torch"), repeats=repeats)


def compare_engines(name: str, film: Path) -> dict:
    """The second ratio, for one model."""
    checkpoint = load_shipped(name)
    films = load_image(film, image_size=checkpoint.transform.image_size)[None]
    fast, known = OnnxEngine(checkpoint), TorchEngine(checkpoint)

    def answer(engine) -> Callable[[], object]:
        return lambda: [engine.compute_logits(films) for _ in range(BLOCK)]

    return compare(answer(fast), answer(known), repeats=NUM_BLOCKS)


def compare_folders(folder: Path, decode: Callable[[Path], object], *, repeats: int) -> dict:
    """The third ratio, over one way of decoding."""
    predictor, paths = Predictor(load_shipped(MODEL)), list_files([folder])[0]

    def decode_all() -> None:
        with ThreadPoolExecutor(NUM_READERS) as pool:
            for _ in pool.map(lambda path: len(decode(path)), paths):  # no film is kept
                pass

    return compare(lambda: list(predict_files(predictor, paths)), decode_all, repeats=repeats)
