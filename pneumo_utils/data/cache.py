"""Decoded films kept on disk, so that a film is decoded once and not in every run."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from pneumo_utils.data import film_array
from pneumo_utils.data.dataset import COLUMNS, XrayDataset


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
    is_in_memory = dataset.images.nbytes <= film_array.MAX_IN_MEMORY
    return dataset if is_in_memory else _read(path, digest) or dataset


def _read(path: Path, digest: str) -> XrayDataset | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if about["digest"] != digest:
                return None
            arrays = {name: file[name] for name in COLUMNS if name in file and name != "images"}
            images = film_array.load_films(file, "images", path=path)
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
