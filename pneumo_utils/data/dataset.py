"""Decoded films kept on disk, so that a film is decoded once and not in every run."""

import hashlib
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.errors import PneumoError

MAX_IN_MEMORY = 1_000_000_000
"""Bytes of films above which they stay in a file, of which the system keeps in memory what is in use."""
_BLOCK = 256  # films copied at once
_CHUNK = 2**20  # bytes read at once


def make_films(num_films: int, height: int, width: int) -> np.ndarray:
    """An array to be filled, uint8 (N, H, W); a large one lies in a file without a name, in the folder for
    temporary files, and is gone when nobody uses it any more."""
    shape = (num_films, height, width)
    if num_films * height * width <= MAX_IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, mode="w+", shape=shape)


def take_films(images: np.ndarray, index) -> np.ndarray:
    """`images[index]`, without filling the memory.

    Args:
        images: uint8 (N, H, W).
        index: Ints, a mask or a slice.

    Returns:
        uint8 (M, H, W). Consecutive films of a mapped array are a view of it; other films are a copy.
    """
    if not isinstance(images, np.memmap):
        return images[index]
    places = np.arange(len(images))[index]
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return images[places[0] : places[0] + len(places)]
    taken = make_films(len(places), *images.shape[1:])
    for start in range(0, len(places), _BLOCK):
        taken[start : start + _BLOCK] = images[places[start : start + _BLOCK]]
    return taken


def load_films(file: np.lib.npyio.NpzFile, name: str, *, path: Path) -> np.ndarray:
    """One array of films from an open `.npz` file that `numpy.savez` wrote; a large one is mapped from it.

    Args:
        file: The open file.
        name: Of the array.
        path: Of the file.

    Returns:
        uint8 (N, H, W). What is written to a mapped array is never written to the file.

    Raises:
        zipfile.BadZipFile: The file is torn: its checksum does not fit.
        ValueError: It does not hold films.
    """
    entry = file.zip.getinfo(f"{name}.npy")
    if entry.file_size <= MAX_IN_MEMORY:
        return file[name]
    with file.zip.open(entry) as member:
        np.lib.format.read_magic(member)
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(member)
        start = member.tell()
        while member.read(_CHUNK):  # to its end, where the checksum is compared
            pass
    if is_fortran or dtype != np.uint8 or entry.compress_type != 0:
        raise ValueError(f"{path.name} holds {dtype} {shape}; expected films as they lie in memory.")
    with open(path, "rb") as raw:  # the local header may be longer than the one in the zip's directory
        raw.seek(entry.header_offset + 26)
        start += entry.header_offset + 30 + sum(struct.unpack("<HH", raw.read(4)))
    return np.memmap(path, np.uint8, mode="c", offset=start, shape=shape)


SPLITS = ("train", "val", "test")
COLUMNS = ("images", "labels", "patients", "subtypes", "names", "sizes")
"""What an `XrayDataset` keeps of each film."""


@dataclass(frozen=True)
class XrayDataset:
    """N grey films with what is known of each.

    Attributes:
        images: uint8 (N, H, W), 0 (black) to 255 (white), in memory or mapped from a file.
        labels: int64 (N,), 0 is NORMAL and 1 is PNEUMONIA.
        patients: str (N,), the coarse patient key; films that share one never go to both sides of a
            split. A source that does not know its patients gives each film a key of its own.
        subtypes: str (N,), "normal", "bacterial", "viral", or "unknown".
        names: str (N,), file name or a made-up one.
        source: "chestxray2017", "pneumoniamnist", "synthetic", or "folder NAME" for films of elsewhere.
        split: "train", "val" or "test": what the films may be used for.
        skipped: Names of damaged files that were left out.
        sizes: int64 (N, 2), height and width of each film as it was stored, pixels; None where the source
            does not know.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    subtypes: np.ndarray
    names: np.ndarray
    source: str
    split: str
    skipped: tuple[str, ...] = ()
    sizes: np.ndarray | None = None

    def __post_init__(self):
        n = len(self.images)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"images is {self.images.dtype} {self.images.shape}; expected uint8 (N, H, W).")
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}.")
        for name in ("labels", "patients", "subtypes", "names"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}; expected ({n},).")
        if self.sizes is not None and self.sizes.shape != (n, 2):
            raise ValueError(f"sizes has shape {self.sizes.shape}; expected ({n}, 2).")

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

    def select(self, index, *, split: str | None = None) -> "XrayDataset":
        """The films at `index` (ints or a mask), kept in that order, as a data set of their own.

        Consecutive films of an array that is mapped from a file share it; all else is copied.
        """
        columns = [name for name in COLUMNS if name != "images" and getattr(self, name) is not None]
        chosen = {name: getattr(self, name)[index] for name in columns}
        images = take_films(self.images, index)
        return replace(self, images=images, **chosen, split=split or self.split)

    def fingerprint(self) -> str:
        """32 hex digits that change with any pixel, label, patient or name."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.images, self.labels, self.patients.astype(str), self.names.astype(str)):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return digest.hexdigest()

    def require_both_classes(self) -> "XrayDataset":
        """Itself.

        Raises:
            PneumoError: A class has no film, so nothing can be learnt or measured.
        """
        for name, count in self.class_counts().items():
            if count == 0:
                raise PneumoError(
                    f"The {self.split} split has {len(self)} films and none of class {name}; "
                    f"expected films of both {' and '.join(CLASS_NAMES)}. Add films to the empty class."
                )
        return self


def load_cached(path: Path, *, key: dict, build: Callable[[], XrayDataset]) -> XrayDataset:
    """The data set kept at `path`, or a newly built one that is then kept there.

    Args:
        path: An `.npz` file, made on demand.
        key: JSON values that decide the content: source, size, version of the read path, the listing.
            A file made under another key is rebuilt; so is one that is torn.
        build: Makes the data set where there is no valid file.

    Returns:
        The same arrays either way; many films are mapped from the file, see `film_array`. Where the disk is
        full or read-only, the newly built set is returned and nothing is kept.
    """
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
    kept = _read(path, digest)
    if kept is not None:
        return kept
    dataset = build()
    _write(path, digest, dataset)
    is_in_memory = dataset.images.nbytes <= MAX_IN_MEMORY
    return dataset if is_in_memory else _read(path, digest) or dataset


def _read(path: Path, digest: str) -> XrayDataset | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if about["digest"] != digest:
                return None
            arrays = {name: file[name] for name in COLUMNS if name in file and name != "images"}
            images = load_films(file, "images", path=path)
        return XrayDataset(
            images, **arrays, source=about["source"], split=about["split"], skipped=tuple(about["skipped"])
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None  # absent, torn or made by another program: the zip's own checksums tell


def _write(path: Path, digest: str, dataset: XrayDataset) -> None:
    about = json.dumps(
        {
            "digest": digest,
            "source": dataset.source,
            "split": dataset.split,
            "skipped": list(dataset.skipped),
        }
    )
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(dataset, name) for name in COLUMNS}
        np.savez(temporary, about=about, **{name: a for name, a in arrays.items() if a is not None})
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # else the name may reach the disk before the films
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):  # a cache that cannot be kept costs time, not the run
            temporary.unlink(missing_ok=True)
