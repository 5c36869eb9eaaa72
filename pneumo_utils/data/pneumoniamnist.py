"""PneumoniaMNIST: the same films in small format, through the `medmnist` package.

Source:
    Yang et al., MedMNIST v2, Scientific Data 2023, Zenodo record 10519652, CC BY 4.0: 4,708 films in
    train, 524 in val, 624 in test, without file names, so without patients and subtypes.
"""

import threading
import zipfile
from pathlib import Path

import numpy as np

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.image_io import load_image
from pneumo_utils.data.splits import choose_films
from pneumo_utils.errors import PneumoError, UsageError, first_line

SIZES = (28, 64, 128, 224)
PROBE_TIMEOUT_S = 6


def is_reachable() -> bool:
    """Whether PneumoniaMNIST's server answers, known within a few seconds."""
    import requests
    from medmnist import INFO

    answered = []

    def ask() -> None:
        try:
            answered.append(requests.head(INFO["pneumoniamnist"]["url"], timeout=PROBE_TIMEOUT_S / 2).ok)
        except requests.RequestException:
            answered.append(False)

    # A thread, because looking up a name can take longer than any time-out given to requests.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_S)
    return answered == [True]


def list_sizes(folder: Path) -> list[int]:
    """The sizes in pixels that are on disk, ascending."""
    return [size for size in SIZES if _find_file(folder, size).is_file()]


def load_films(folder: Path, split: str, *, image_size: int, max_films: int | None) -> XrayDataset:
    """The films of one of the source's own splits, downloaded where none is on disk.

    Args:
        folder: Where the files are kept.
        split: "train", "val" or "test".
        image_size: Height and width, pixels; taken from the smallest file that need not be enlarged.
        max_films: At most about this many, for the short mode; None takes all.

    Returns:
        The films; each is a patient of its own, because the source does not tell.

    Raises:
        PneumoError: The file is damaged, or cannot be downloaded.
    """
    size = _choose_size(folder, image_size)
    images, labels = _read_file(_find_file(folder, size), split)
    chosen = choose_films(labels, max_films)
    resized = np.stack([load_image(image, image_size=image_size) for image in images[chosen]])
    names = np.array([f"pneumoniamnist-{split}-{index:04d}" for index in chosen])
    subtypes = np.where(labels[chosen] == 0, "normal", "unknown")
    return XrayDataset(resized, labels[chosen], names, subtypes, names, "pneumoniamnist", split)


def _read_file(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[f"{split}_images"], file[f"{split}_labels"].reshape(-1).astype(np.int64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PneumoError(
            f"{path.name} is damaged ({first_line(error)}). Delete it and run again."
        ) from error


def _choose_size(folder: Path, image_size: int) -> int:
    """The smallest size that need not be enlarged, of those on disk or else to be downloaded."""
    on_disk = list_sizes(folder)
    if not on_disk:
        wanted = next((s for s in SIZES if s >= image_size), SIZES[-1])
        download(folder, wanted)
        return wanted
    return next((size for size in on_disk if size >= image_size), on_disk[-1])


def _find_file(folder: Path, size: int) -> Path:
    return folder / f"pneumoniamnist{'' if size == 28 else f'_{size}'}.npz"


def download(folder: Path, size: int) -> None:
    """Fetches one file, checked by `medmnist` against its published MD5.

    Args:
        folder: Made on demand.
        size: One of `SIZES`.

    Raises:
        UsageError: There is no such size.
        PneumoError: There is no network, or the file is not the published one.
    """
    if size not in SIZES:
        raise UsageError(f"The image size is {size}; expected one of {', '.join(map(str, SIZES))}.")
    from medmnist import PneumoniaMNIST

    folder.mkdir(parents=True, exist_ok=True)
    try:
        PneumoniaMNIST(split="train", download=True, size=size, root=str(folder))
    except (RuntimeError, OSError) as error:
        _find_file(folder, size).unlink(missing_ok=True)
        raise PneumoError(
            f"PneumoniaMNIST at {size} px could not be downloaded ({error}). Check the network, or put "
            f"{_find_file(folder, size).name} from Zenodo record 10519652 into {folder}."
        ) from error
