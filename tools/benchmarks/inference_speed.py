"""How fast films are answered, as ratios to what the same machine needs for something known.

    python benchmarks/inference_speed.py FOLDER [--films 1000] [--repeats 5] [--json FILE]

FOLDER holds films in their original size; they are linked again and again until there are enough.

1. `pneumo inference film`, the whole process, over `python -c "import torch"`.
2. One film after the other with the model loaded, ONNX Runtime over torch as it comes, for each model that
   ships; in blocks of ten, since torch's threads go on spinning for a while.
3. A folder of films answered by `cnn_baseline`, over decoding the same films with as many threads: in full
   size, and as an answer needs them, where the decoder makes a large JPEG smaller.

The two sides of a ratio take turns; it is that of their medians, beside the lowest and highest of a pair.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pneumo_utils.app.batch import NUM_READERS, predict_files
from pneumo_utils.app.predictor import OnnxEngine, Predictor, TorchEngine
from pneumo_utils.data.folders import list_files
from pneumo_utils.data.images import load_image
from pneumo_utils.models.shipped import list_shipped, load_shipped

MODEL = "cnn_baseline"
NUM_BLOCKS, BLOCK = 5, 10


def measure(work: Callable[[], object]) -> float:
    """Wall time of one call, seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(work: Callable[[], object], known: Callable[[], object], *, repeats: int) -> dict:
    """Times of both in turn after one call each, seconds, and their ratio."""
    work(), known()
    pairs = np.array([(measure(work), measure(known)) for _ in range(repeats)])
    ratios = pairs[:, 0] / pairs[:, 1]
    own, other = np.median(pairs, axis=0)
    return {
        "ratio": round(float(own / other), 3),
        "lowest": round(float(ratios.min()), 3),
        "highest": round(float(ratios.max()), 3),
        "time_s": float(own),
        "known_s": float(other),
        "repeats": repeats,
    }


def compare_processes(film: Path, *, repeats: int) -> dict:
    """The first ratio."""

    def run(*words: str) -> Callable[[], object]:
        command = [sys.executable, *words]
        return lambda: subprocess.run(command, check=True, capture_output=True)

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
    predictor, (paths, _) = Predictor(load_shipped(MODEL)), list_files([folder])

    def decode_all() -> None:
        with ThreadPoolExecutor(NUM_READERS) as pool:
            for _ in pool.map(lambda path: len(decode(path)), paths):  # no film is kept
                pass

    return compare(lambda: list(predict_files(predictor, paths)), decode_all, repeats=repeats)


def link_films(films: list[Path], folder: Path, *, count: int) -> None:
    """Fills a folder with `count` links to films."""
    for index, film in enumerate(itertools.islice(itertools.cycle(films), count)):
        (folder / f"{index:05d}{film.suffix}").symlink_to(film.resolve())


def show(name: str, row: dict) -> None:
    """One line for people."""
    print(
        f"{name}: {row['ratio']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f} in {row['repeats']} pairs; "
        f"{1000 * row['time_s']:.1f} ms over {1000 * row['known_s']:.1f} ms)",
        flush=True,
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="films in their original size")
    parser.add_argument("--films", type=int, default=1000, help="in the folder that is answered")
    parser.add_argument("--repeats", type=int, default=5, help="of the first; the last has three at most")
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    films, _ = list_files([arguments.folder])
    result = {"cores": os.cpu_count(), "films": arguments.films}
    result["process over import torch"] = compare_processes(films[0], repeats=arguments.repeats)
    show("whole process over import torch", result["process over import torch"])
    for name in list_shipped():
        result[f"engine {name}"] = compare_engines(name, films[0])
        show(f"{BLOCK} films one by one, ONNX Runtime over torch, {name}", result[f"engine {name}"])
    with tempfile.TemporaryDirectory() as temporary:
        link_films(films, Path(temporary), count=arguments.films)
        size = load_shipped(MODEL).transform.image_size
        for name, decode in (
            ("folder over decoding in full size", load_image),
            ("folder over decoding at the size that is needed", lambda p: load_image(p, image_size=size)),
        ):
            result[name] = compare_folders(Path(temporary), decode, repeats=min(3, arguments.repeats))
            show(f"{arguments.films} films, {name}", result[name])
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
