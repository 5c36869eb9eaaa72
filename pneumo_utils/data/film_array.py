"""Where the pixels of many films are kept: in memory, or mapped from a file when they are too many."""

import struct
import tempfile
from pathlib import Path

import numpy as np

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
