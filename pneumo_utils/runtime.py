"""The machine and the run: seeds, device, versions, files written whole, and source shown in a lesson."""

import ctypes
import glob
import inspect
import os
import platform
import random
import sys
from collections.abc import Callable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")


def set_seed(seed: int) -> None:
    """Seeds Python, NumPy and torch; the same seed on the same machine gives the same run.

    Args:
        seed: 0 to 4294967295.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def get_random_state() -> dict:
    """Where the generators that `set_seed` seeds stand, as tensors and plain values."""
    import numpy as np
    import torch

    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict) -> None:
    """Puts the generators back to where they stood at `get_random_state`."""
    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    torch.cuda.set_rng_state_all(state["cuda"])


def make_accelerator():
    """An `accelerate.Accelerator`: the best device, with half precision where a GPU gains by it."""
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs

    if torch.cuda.is_available():
        settings = {"mixed_precision": "bf16" if torch.cuda.is_bf16_supported() else "fp16"}
    else:
        settings = {"mixed_precision": "no", "cpu": "LOCAL_RANK" in os.environ}  # set where there are several
    # In a run of several processes some parts of a network may stand still.
    several = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(**settings, kwargs_handlers=[several])


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory instead of handing it back to the system after each step.

    A training step on a CPU frees and takes the same large blocks again and again; without this the
    system clears each page every time. Has no effect but speed, and none outside Linux.

    Returns:
        Whether it was done.
    """
    if platform.system() != "Linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # the numbers in glibc's malloc.h
    settings = {trim_threshold: 2**31 - 1, top_pad: 64 * 2**20, mmap_threshold: 32 * 2**20}
    return all(mallopt(name, value) for name, value in settings.items())


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Writes a file under a temporary name, flushes it to the disk and renames it: it is always whole.

    Args:
        path: Its folder is made if absent; a file that is there is replaced.
        write: Writes the content to the path it is given, `<name>.<process id>.tmp` in the same folder.

    Raises:
        OSError: The file cannot be written, for example on a full disk; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # else the name may reach the disk before the content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Removes what a process killed in `write_atomically` left, for `path` and names that extend it."""
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


def get_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def show_banner(data: str) -> None:
    """Prints what a run rests on, for the head of a lesson: data, date, device, mode and versions.

    Args:
        data: Which data are read, in one sentence.
    """
    from pneumo_utils.config import is_fast

    print(data)
    mode = "on" if is_fast() else "off"
    device = make_accelerator().device
    print(f"Run on {date.today():%d %B %Y}, device {device}, {os.cpu_count()} cores, short mode {mode}.")
    print(", ".join(f"{name} {number}" for name, number in get_versions().items()))


def show_source(thing) -> None:
    """Prints the source of a function or class of the package, so that a lesson never copies it.

    In a notebook it is shown with colours.
    """
    source = inspect.getsource(thing).rstrip()
    try:
        from IPython import get_ipython
        from IPython.display import Code, display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(source)
    else:
        display(Code(source, language="python"))
