"""How much memory a training run takes for its films, and how time and memory grow with their number.

FOLDER is a data set in the layout of ChestXRay2017.

1. Peak memory of one epoch of `cnn_baseline` at 224 px on all its films, test films loaded too, less that of
   the same run on a few of them: the network, its batches and the libraries.
2. The same network at 32 px, one epoch on N drawn films that are mapped from the cache however few they are:
   seconds from the cache to the end of `fit`, and the peak of the memory that is not backed by a file.

Each run has a process of its own. Peaks are read from /proc, so this needs Linux.
"""

import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from pneumo_utils.cli import say
from pneumo_utils.config import Folders
from pneumo_utils.data import dataset
from pneumo_utils.data.dataset import XrayDataset, load_cached, make_films
from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.training.fit import fit
from pneumo_utils.training.recipes import make_config
from tools.benchmarks import require_linux, run_apart

FULL_SIZE, SMALL_SIZE = 224, 32
NUM_FEW = 256  # of each split: more than any batch
NUM_DRAWN = 500
MEGABYTE = 2**20


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, nargs="+", default=[1000, 10_000, 100_000])


def measure(arguments) -> dict:
    """Both parts."""
    require_linux("/proc")
    result = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as cache:
        run_apart(train_on_folder, arguments.folder, Path(cache), is_few=True)  # fills the cache
        for name in ("few films", "all films"):
            settings = {"is_few": name == "few films"}
            result[name] = run_apart(train_on_folder, arguments.folder, Path(cache), **settings)
            print(f"{name} at {FULL_SIZE} px: {result[name]}", flush=True)
        over = result["all films"]["peak_mb"] - result["few films"]["peak_mb"]
        result["mb_over_the_models_own"] = over
        print(f"over the model's own: {over} MB", flush=True)
        result["growth"] = []
        for count in arguments.films:
            row = run_apart(train_on_drawn, count, Path(cache))
            row["ms_per_film"] = round(1000 * row["time_s"] / count, 3)
            result["growth"].append(row)
            print(f"{count:,} films: {row}", flush=True)
    return result


def train_on_folder(folder: Path, cache: Path, *, is_few: bool) -> dict:
    """One epoch at 224 px, in this process."""
    import resource  # which Windows lacks

    choice, folders = choose_data(str(folder)), Folders(cache)
    films = {
        split: load_split(choice, split, image_size=FULL_SIZE, folders=folders)
        for split in ("train", "val", "test")
    }
    if is_few:
        films = {name: d.select(np.linspace(0, len(d) - 1, NUM_FEW).astype(int)) for name, d in films.items()}
    config = make_config("cnn_baseline", num_epochs=1, image_size=FULL_SIZE)
    fit(config, films["train"], val=films["val"], say=say)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"films": sum(map(len, films.values())), "peak_mb": round(peak / MEGABYTE)}


def train_on_drawn(num_films: int, cache: Path) -> dict:
    """One epoch at 32 px on mapped films, in this process; the films are drawn before the clock starts."""
    dataset.MAX_IN_MEMORY = 0
    path, key = cache / f"{num_films}.npz", {"films": num_films}
    load_cached(path, key=key, build=lambda: _draw(num_films))
    peaks, is_over = [], threading.Event()
    watcher = threading.Thread(target=_watch, args=(peaks, is_over))
    watcher.start()
    started = time.perf_counter()
    train, val = make_validation_split(load_cached(path, key=key, build=None))
    fit(make_config("cnn_baseline", num_epochs=1, image_size=SMALL_SIZE), train, val=val, say=say)
    time_s = time.perf_counter() - started
    is_over.set()
    watcher.join()
    return {"films": num_films, "time_s": round(time_s, 2), "peak_mb": round(max(peaks) / MEGABYTE)}


def _draw(num_films: int) -> XrayDataset:
    """A few phantoms again and again, each copy of another patient."""
    drawn = make_phantoms(NUM_DRAWN, image_size=SMALL_SIZE)
    images, place = make_films(num_films, SMALL_SIZE, SMALL_SIZE), np.arange(num_films) % NUM_DRAWN
    for start in range(0, num_films, NUM_DRAWN):
        images[start : start + NUM_DRAWN] = drawn.images[: num_films - start]
    return XrayDataset(
        images=images,
        labels=drawn.labels[place],
        patients=np.array([f"p{index:06d}" for index in range(num_films)]),
        subtypes=drawn.subtypes[place],
        names=np.array([f"{index:06d}" for index in range(num_films)]),
        source="synthetic",
        split="train",
    )


def _watch(peaks: list[int], is_over: threading.Event) -> None:
    """Notes the memory of this process that is not backed by a file, bytes, five times a second."""
    while not is_over.wait(0.2):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        peaks.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")))
