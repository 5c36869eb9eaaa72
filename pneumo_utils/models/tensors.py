"""Files of tensors: never half-written, and read without running what else may be in them."""

import glob
import os
import zipfile
from pathlib import Path

import torch

from pneumo_utils.errors import PneumoError, first_line


def save_tensors(content, path: Path, *, kind: str) -> Path:
    """Writes to a temporary name, flushes, renames: a file under `path` is always whole.

    Args:
        content: Tensors and plain values in dicts and lists.
        path: Its folder is made if absent.
        kind: What the file is, for a message.

    Raises:
        PneumoError: The file cannot be written, for example on a full disk; nothing is left behind.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        raise PneumoError(
            f"The {kind} {path.name} could not be written ({first_line(error)}). Free some "
            "disk space, or name another folder with --output-dir."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def remove_leftovers(path: Path) -> None:
    """Removes what a process that was killed in `save_tensors` left, for `path` and names that extend it."""
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


def load_tensors(path: Path):
    """What `torch.save` wrote, if it is tensors and plain values in dicts and lists; on the CPU.

    Args:
        path: A file, perhaps from elsewhere.

    Raises:
        OSError: The file cannot be opened.
        ValueError: The file is damaged, or holds something else, which could run code.
    """
    try:
        _require_no_bomb(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # pickle, zip and torch have many words for it, none for a user
        raise ValueError("it is not a file of tensors and plain values") from error


def require_intact(path: Path) -> None:
    """Nothing, if the checksums in a file of `save_tensors` are right; torch does not look at them.

    Args:
        path: A file that `load_tensors` has read.

    Raises:
        ValueError: A part of it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError("its checksums are wrong")


def _require_no_bomb(path: Path) -> None:
    """Raises ValueError for an archive that would unpack to more than it is; `torch.save` packs nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > Path(path).stat().st_size:
                raise ValueError("its parts are larger than the whole")
