"""The dataset in which all sources end, and its cache: a film is decoded once and not in every run."""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pneumo_utils.config import CLASS_NAMES, SPLITS
from pneumo_utils.errors import PneumoError
from pneumo_utils.runtime import write_atomically

COLUMNS = ("labels", "patients", "subtypes", "names", "sizes")  # of each film, beside its pixels
MAX_IN_MEMORY = 1_000_000_000  # bytes; more films stay in a file, in memory is what is in use


@dataclass(frozen=True)
class XrayDataset:
    """N grey films with what is known of each."""

    images: np.ndarray  # uint8 (N, H, W), 0 (black) to 255 (white), in memory or mapped from a file
    labels: np.ndarray  # int64 (N,), 0 is NORMAL and 1 is PNEUMONIA
    patients: np.ndarray  # str (N,), the coarse key, which no split parts; each film its own if not known
    subtypes: np.ndarray  # str (N,), "normal", "bacterial", "viral", or "unknown"
    names: np.ndarray  # str (N,), file name or a made-up one
    source: str  # "chestxray2017", "pneumoniamnist", "synthetic", or "folder NAME" for films of elsewhere
    split: str  # "train", "val" or "test": what the films may be used for
    skipped: tuple[str, ...] = ()  # names of damaged files that were left out
    preset: str = "grey"  # of `config.PRESETS`: how they were read
    sizes: np.ndarray | None = None  # int64 (N, 2), stored height and width, pixels; None where not known

    def __post_init__(self):
        n = len(self.images)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"images is {self.images.dtype} {self.images.shape}; expected uint8 (N, H, W).")
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}.")
        for name, column in self.get_columns().items():
            expected = (n, 2) if name == "sizes" else (n,)
            if column.shape != expected:
                raise ValueError(f"{name} has shape {column.shape}; expected {expected}.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Height of the films, pixels; sources make them square."""
        return self.images.shape[1]

    @property
    def is_synthetic(self) -> bool:
        """Whether the films are phantoms, to be marked as such in every figure and table."""
        return self.source == "synthetic"

    def class_counts(self) -> dict[str, int]:
        """Films of each class, by class name."""
        return {name: int((self.labels == index).sum()) for index, name in enumerate(CLASS_NAMES)}

    def get_columns(self) -> dict[str, np.ndarray]:
        """What is known of each film beside its pixels, by name."""
        return {name: getattr(self, name) for name in COLUMNS if getattr(self, name) is not None}

    def select(self, index, *, split: str | None = None) -> "XrayDataset":
        """The films at `index` (ints or a mask), kept in that order, as a data set of their own.

        Consecutive films of an array that is mapped from a file share it; all else is copied.
        """
        chosen = {name: column[index] for name, column in self.get_columns().items()}
        return replace(self, images=take_films(self.images, index), **chosen, split=split or self.split)

    def fingerprint(self) -> str:
        """32 hex digits that change with any pixel, label, patient or name."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.images, self.labels, self.patients.astype(str), self.names.astype(str)):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def require_both_classes(self) -> "XrayDataset":
        """Itself; raises PneumoError if a class has no film, so that nothing can be learnt or measured."""
        check_both_classes(self.labels, f"The {self.split} split")
        return self


def check_both_classes(labels: np.ndarray, purpose: str, *, num_each: int = 1) -> None:
    """Refuses, with a PneumoError that begins with the purpose, a class of fewer than `num_each` films."""
    counts = [int((labels == label).sum()) for label in (0, 1)]
    if min(counts) < num_each:
        found = " and ".join(f"{count} {name}" for count, name in zip(counts, CLASS_NAMES, strict=True))
        raise PneumoError(f"{purpose} needs {num_each} or more films of each class; got {found}. Add films.")


def make_films(num_films: int, height: int, width: int) -> np.ndarray:
    """An array to be filled, uint8 (N, H, W); a large one is mapped from a temporary file without a name."""
    shape = (num_films, height, width)
    if num_films * height * width <= MAX_IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, mode="w+", shape=shape)


def take_films(images: np.ndarray, index) -> np.ndarray:
    """`images[index]`; consecutive films of a mapped array are a view of it, other films are a copy."""
    if not isinstance(images, np.memmap):
        return images[index]
    places = np.arange(len(images))[index]
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return images[places[0] : places[0] + len(places)]
    taken = make_films(len(places), *images.shape[1:])
    return np.take(images, places, axis=0, out=taken, mode="clip")  # the other modes copy all of it once more


def load_cached(path: Path, *, key: dict, build: Callable[[], XrayDataset]) -> XrayDataset:
    """The dataset kept at `path`, or a newly built one that is then kept there if the disk allows it.

    `path` is an `.npz` file of the columns; the images lie beside it, as `.npy`. More than `MAX_IN_MEMORY`
    are mapped from it, and what is written to them is never written to the file. `key` is the JSON values
    that decide the content: what was kept under another key is built anew, as is one with a wrong byte.
    """
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
    kept = _read(path, digest)
    if kept is not None:
        return kept
    dataset = build()
    with suppress(OSError):  # a cache that cannot be kept costs time, not the run
        _write(path, digest, dataset)
    is_in_memory = dataset.images.nbytes <= MAX_IN_MEMORY
    return dataset if is_in_memory else _read(path, digest) or dataset


def _read(path: Path, digest: str) -> XrayDataset | None:
    images_path = path.with_suffix(".npy")
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            columns = {name: file[name] for name in COLUMNS if name in file}
        is_large = images_path.stat().st_size > MAX_IN_MEMORY
        images = np.load(images_path, mmap_mode="c" if is_large else None, allow_pickle=False)
        if about.pop("digest") != digest or about.pop("checksum") != _compute_checksum(images):
            return None
        return XrayDataset(images, **columns, **about | {"skipped": tuple(about["skipped"])})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None  # absent, torn or made by another program


def _write(path: Path, digest: str, dataset: XrayDataset) -> None:
    about = {"digest": digest, "checksum": _compute_checksum(dataset.images)}
    about |= {name: getattr(dataset, name) for name in ("source", "split", "skipped", "preset")}
    columns: dict = {"about": json.dumps(about), **dataset.get_columns()}
    write_atomically(path.with_suffix(".npy"), lambda file: np.save(file, dataset.images))
    write_atomically(path, lambda file: np.savez(file, **columns))


def _compute_checksum(images: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(images).data)
