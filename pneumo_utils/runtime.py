"""The machine and the run: seeds, device, memory, versions, files written whole, source shown in a lesson."""

import ctypes
import functools
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

from pneumo_utils.config import is_fast
from pneumo_utils.errors import PneumoError

LIBRARIES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")
LAUNCHED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"}
"""What `torchrun` and `accelerate launch` set in the environment of each process."""
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def set_seed(seed: int) -> None:
    """Seeds Python, NumPy and torch, 0 to 4294967295; the same seed on one machine gives the same run."""
    from accelerate.utils import set_seed as seed_all

    seed_all(seed)


def make_accelerator():
    """An `accelerate.Accelerator`: the best device, with half precision where a GPU gains by it."""
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs

    is_launched = os.environ.keys() >= LAUNCHED and os.environ["WORLD_SIZE"] != "1"
    if not is_launched:  # some of these were left over, and accelerate would wait for other processes
        for name in LAUNCHED:
            os.environ.pop(name, None)
    if torch.cuda.is_available():
        settings = {"mixed_precision": "bf16" if torch.cuda.is_bf16_supported() else "fp16"}
    else:
        settings = {"cpu": is_launched}  # single, unless ACCELERATE_MIXED_PRECISION says bf16
    # In a run of several processes some parts of a network may stand still.
    several = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(**settings, kwargs_handlers=[several])


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory instead of handing it back to the system after each step.

    A training step on a CPU frees and takes the same large blocks again and again; without this the
    system clears each page every time. Has no effect but speed, and none outside Linux.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another system, or another C library
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # the numbers in glibc's malloc.h
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 64 * 2**20)
    mallopt(mmap_threshold, 32 * 2**20)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch, CUDA or its libraries says that memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)


def name_what_to_lower(train: Callable) -> Callable:
    """Wraps a function `train(config, ...)`: where memory runs out it raises a PneumoError, and frees it."""

    @functools.wraps(train)
    def train_in_memory(config, *arguments, **settings):
        from accelerate.utils.memory import clear_device_cache

        try:
            return train(config, *arguments, **settings)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here are the error and the frames it refers to gone, and with them the tensors they held.
        clear_device_cache(garbage_collection=True)
        raise PneumoError(
            f"Memory ran out at batch_size {config.batch_size} and image_size {config.image_size}. "
            "Lower --batch_size or --image_size; half of either is a good next try."
        )

    return train_in_memory


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under a temporary name, flushes it to the disk and renames it: it is always whole.

    Its folder is made if absent. `write` writes to the open file that it is given, `<name>.<process id>.tmp`
    in the same folder. Where that fails with an OSError, as on a full disk, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # else the name may reach the disk before the content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(*folders: Path) -> None:
    """Raises a PneumoError, before any work, if a folder cannot be written to; an absent one is not made."""
    for folder in folders:
        nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise PneumoError(
                f"Nothing can be kept in {folder}: {nearest} is no folder that may be written to. Name "
                "another (--output-dir, or PNEUMO_HOME in the environment)."
            )


@contextmanager
def lock_file(path: Path, *, holder: str) -> Iterator[None]:
    """Holds a file; a PneumoError where `holder` does already. What a killed process held is free again."""
    from filelock import FileLock, Timeout

    try:
        held = FileLock(f"{path}.lock", timeout=0).acquire()
    except Timeout as error:
        raise PneumoError(
            f"{path} is in use by {holder}; expected one at a time. Wait for its end, or name another place."
        ) from error
    with held:
        yield


def get_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result."""
    from importlib.metadata import version  # here, because an answer needs no versions

    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python} | {name: version(name) for name in LIBRARIES}


def show_banner(data: str) -> None:
    """Prints what a run rests on, for the head of a lesson: a sentence about data, date, device, versions."""
    print(data)
    mode = "on" if is_fast() else "off"
    accelerator = make_accelerator()
    where = f"device {accelerator.device}, processes {accelerator.num_processes}, cores {os.cpu_count()}"
    print(f"Run on {date.today():%d %B %Y}, {where}, short mode {mode}.")
    print(", ".join(f"{name} {number}" for name, number in get_versions().items()))


class Silence:
    """A block in which all warnings, and the log records of some libraries, are dropped.

    Several threads may be in it: the first one in silences, the last one out restores.
    """

    def __init__(self, *loggers: str):
        self._loggers, self._lock, self._inside = loggers, threading.Lock(), 0

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._warnings = warnings.catch_warnings(action="ignore")
                self._warnings.__enter__()
                self._levels = {logger: logger.level for logger in map(logging.getLogger, self._loggers)}
                for logger in self._levels:
                    logger.setLevel(logging.CRITICAL + 1)
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._warnings.__exit__(*error)
                for logger, level in self._levels.items():
                    logger.setLevel(level)
