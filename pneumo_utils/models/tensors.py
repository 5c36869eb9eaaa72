"""Files of tensors, read without running what else may be in them."""

import zipfile
from pathlib import Path

import torch


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


def _require_no_bomb(path: Path) -> None:
    """Raises ValueError for an archive that would unpack to more than it is; `torch.save` packs nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > Path(path).stat().st_size:
                raise ValueError("its parts are larger than the whole")
