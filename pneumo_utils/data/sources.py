"""The sources of films, by name, and the choice among them: one function each, one registry."""

import hashlib
import os
import threading
import unicodedata
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pneumo_utils.config import (
    FAST_MAX_FILMS,
    PRESET,
    PRESETS,
    SPLITS,
    Folders,
    default_folders,
    expect,
    is_fast,
)
from pneumo_utils.data.dataset import XrayDataset, load_cached, make_films, take_films
from pneumo_utils.data.folders import FilmFile, find_root, list_films, list_folder
from pneumo_utils.data.images import READ_VERSION, load_film, load_image
from pneumo_utils.data.splits import choose_films, choose_patients, make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import ImageError, PneumoError, UsageError, first_line

MAX_DAMAGED_SHARE = 0.05
NUM_PHANTOMS = {"train": 1500, "test": 400}
MNIST_SIZES = (28, 64, 128, 224)
PROBE_TIMEOUT_S = 6
GET_FULL_SET = "The full set comes with `pneumo data download`, or by setting PNEUMO_DATA to its folder."


@dataclass(frozen=True)
class DataChoice:
    """Which source is taken, and where its films lie."""

    source: str  # a key of `SOURCES`; "folder" is films of elsewhere, to be judged and not trained on
    folder: Path | None  # None for phantoms
    sentence: str  # what was taken, what was left out, and how to get the full set where it is not that


def choose_data(data: str = "auto", *, folders: Folders | None = None) -> DataChoice:
    """Turns the word after `--data` into a source.

    A folder holds `train` and `test` in the layout of ChestXRay2017, or, to be judged only, the two class
    folders. "auto" takes `PNEUMO_DATA` if set (a folder or a source's name), else `data/chest_xray`, else a
    cached PneumoniaMNIST, else downloads PneumoniaMNIST at 128 px, 224 where a GPU is there, else, without
    network, phantoms.

    Raises PneumoError if a named folder is not there, has another layout, or cannot be listed whole.
    """
    folders = folders or default_folders()
    if data == "auto":
        data = os.environ.get("PNEUMO_DATA") or "auto"
    if data == "auto":
        return _choose_automatically(folders)
    if data == "synthetic":
        return DataChoice("synthetic", None, "Data: SYNTHETIC phantoms, as asked for.")
    if data == "pneumoniamnist":
        return DataChoice("pneumoniamnist", folders.data / "medmnist", "Data: PneumoniaMNIST, as asked for.")
    if data == "chestxray2017":
        folder = folders.data / "chest_xray"
    else:
        folder = Path(data).expanduser()
        folder = folder if folder.exists() else folders.root / folder  # an absolute one stays as it is
    folder, splits = find_root(folder)
    if splits and not {"train", "test"} <= set(splits):
        raise PneumoError(
            f"{folder} has class folders in {' and '.join(splits)} only; expected train and test. Check the "
            "path, or run `pneumo data download`."
        )
    what = "ChestXRay2017 from the folder {}." if splits else "the films of the folder {}, to be judged."
    sentence = f"Data: {what.format(folder.name)} {list_folder(folder).left_out}".strip()
    return DataChoice("chestxray2017" if splits else "folder", folder, sentence)


def _choose_automatically(folders: Folders) -> DataChoice:
    if (folders.data / "chest_xray").is_dir():
        return choose_data("chestxray2017", folders=folders)
    folder, how = folders.data / "medmnist", "kept from before"
    if not list_sizes(folder) and is_reachable():
        import torch

        size = 224 if torch.cuda.is_available() else 128
        how = f"at {size} px, downloaded"
        with suppress(PneumoError):  # the network goes away between the probe and the download: phantoms
            download(folder, size)
    if list_sizes(folder):
        return DataChoice("pneumoniamnist", folder, f"Data: PneumoniaMNIST, {how}. {GET_FULL_SET}")
    sentence = f"Data: SYNTHETIC phantoms, because there are no films here and no internet. {GET_FULL_SET}"
    return DataChoice("synthetic", None, sentence)


def load_split(
    choice: DataChoice, split: str, *, image_size: int, preset: str = PRESET, folders: Folders | None = None
) -> XrayDataset:
    """The films of one split at `image_size` pixels, 32 to 512; in short mode a few hundred.

    `preset` is the name of a checkpoint's transform, if the films are for that.

    Validation is cut from the official train split, grouped by patient; PneumoniaMNIST brings its own
    validation films, and no patients. Only the source "folder" may have films of one class alone.
    Raises UsageError if there is no such split, PneumoError if the films cannot be had or a class has none.
    """
    expect(split in SPLITS, "The split", repr(split), f"one of {', '.join(SPLITS)}")
    max_films = FAST_MAX_FILMS if is_fast() else None
    expect(preset in PRESETS, "The preset", repr(preset), f"one of {', '.join(PRESETS)}")
    settings = {"image_size": image_size, "preset": preset, "max_films": max_films}
    films = SOURCES[choice.source](choice.folder, split, folders or default_folders(), **settings)
    return films if choice.source == "folder" else films.require_both_classes()


def _load_chestxray2017(folder, split, folders, **settings) -> XrayDataset:
    if split == "test":
        return _read_once(list_films(folder, split), "chestxray2017-test", folders, split=split, **settings)
    films, patients = list_training_films(folder)
    # Validation last: both parts of films that are mapped from a file are then views.
    films.sort(key=lambda film: (film.patient in patients, film.path.name))
    read = _read_once(films, "chestxray2017-train", folders, split="train", **settings)
    return make_validation_split(read, patients)[split == "val"]


def list_training_films(folder: Path) -> tuple[list[FilmFile], set[str]]:
    """The films of a folder's train split, and the patients among them whose films are for validation."""
    films = list_films(folder, "train")
    columns = zip(*((film.path.name, film.label, film.patient) for film in films), strict=True)
    return films, choose_patients(*map(np.array, columns))


def _load_folder(folder, split, folders, **settings) -> XrayDataset:
    if split != "test":
        raise UsageError(
            f"The folder {folder.name} has no {split} split; its films can be judged only, with --split test."
        )
    place = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=4).hexdigest()
    source = f"folder {unicodedata.normalize('NFC', folder.resolve().name)}"
    settings |= {"split": "test", "source": source}
    return _read_once(list_films(folder), f"folder-{place}", folders, **settings)


def _read_once(films: list[FilmFile], name: str, folders: Folders, **settings) -> XrayDataset:
    """`read_films`, its outcome kept in the cache."""
    files = [(film, film.path.stat()) for film in films]
    listing = [[film.path.name, film.label, film.patient, s.st_size, s.st_mtime_ns] for film, s in files]
    key = {"read": READ_VERSION, **settings, "films": listing}
    size, preset, number = settings["image_size"], settings["preset"], settings["max_films"] or "all"
    path = folders.data / "cache" / f"{name}-{size}-{preset}-{number}.npz"
    return load_cached(path, key=key, build=lambda: read_films(films, **settings))


def read_films(
    films: list[FilmFile],
    *,
    image_size: int,
    split: str,
    max_films: int | None,
    preset: str = PRESET,
    source: str = "chestxray2017",
) -> XrayDataset:
    """Decodes films, several at a time, squashed to squares; those that cannot be read are in `skipped`.

    Raises PneumoError if more than `MAX_DAMAGED_SHARE` of the films are damaged.
    """
    films = [films[index] for index in choose_films(np.array([film.label for film in films]), max_films)]
    images, results = _decode(films, f"reading {split} films", image_size=image_size, preset=preset)
    good = [index for index, result in enumerate(results) if not isinstance(result, ImageError)]
    damaged = [index for index, result in enumerate(results) if isinstance(result, ImageError)]
    if len(damaged) > MAX_DAMAGED_SHARE * len(films):
        first = f"{films[damaged[0]].path.name}: {results[damaged[0]]}"
        raise PneumoError(
            f"{len(damaged)} of {len(films)} films cannot be read; expected at most {MAX_DAMAGED_SHARE:.0%}. "
            f"The first is {first} Copy the data set again."
        )

    kept = [films[index] for index in good]
    return XrayDataset(
        images=take_films(images, good) if damaged else images,
        labels=np.array([film.label for film in kept], dtype=np.int64),
        patients=np.array([film.patient for film in kept]),
        subtypes=np.array([film.subtype for film in kept]),
        names=np.array([film.path.name for film in kept]),
        sizes=np.array([results[index] for index in good], dtype=np.int64),
        source=source,
        split=split,
        skipped=tuple(films[index].path.name for index in damaged),
        preset=preset,
    )


def _decode(films: list[FilmFile], text: str, *, image_size: int, preset: str) -> tuple[np.ndarray, list]:
    """uint8 (N, S, S), and of each film its stored height and width, or why it cannot be read."""
    images = make_films(len(films), image_size, image_size)

    def read(place: int) -> tuple[int, int] | ImageError:
        try:
            film = load_film(films[place].path, image_size=image_size, preset=preset)
            images[place] = film.squashed
            return film.size
        except ImageError as error:
            return error

    # Threads, not processes: films are decoded outside Python's lock, and nothing can hang in a notebook.
    with ThreadPoolExecutor() as pool:
        reading = pool.map(read, range(len(films)))
        return images, list(tqdm(reading, total=len(films), desc=text, leave=False))


def _load_synthetic(folder, split, folders, *, image_size, preset, max_films) -> XrayDataset:
    official = "test" if split == "test" else "train"
    num_films = min(NUM_PHANTOMS[official], max_films or NUM_PHANTOMS[official])
    films = make_phantoms(num_films, image_size=image_size, split=official)
    images = np.stack([load_image(film, image_size=image_size, preset=preset) for film in films.images])
    films = replace(films, images=images, preset=preset)
    return films if split == "test" else make_validation_split(films)[split == "val"]


def is_reachable() -> bool:
    """Whether PneumoniaMNIST's server answers, known within a few seconds."""
    import requests
    from medmnist import INFO

    answered = []

    def ask() -> None:
        with suppress(requests.RequestException):
            answered.append(requests.head(INFO["pneumoniamnist"]["url"], timeout=PROBE_TIMEOUT_S / 2).ok)

    # A thread, because looking up a name can take longer than any time-out given to requests.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_S)
    return answered == [True]


def list_sizes(folder: Path) -> list[int]:
    """The sizes of PneumoniaMNIST in pixels that are on disk, ascending."""
    return [size for size in MNIST_SIZES if _find_file(folder, size).is_file()]


def _find_file(folder: Path, size: int) -> Path:
    return folder / f"pneumoniamnist{'' if size == 28 else f'_{size}'}.npz"


def download(folder: Path, size: int) -> None:
    """Fetches one file of PneumoniaMNIST, checked by `medmnist` against its published MD5.

    Raises UsageError if there is no such size, PneumoError without network or for another file.
    """
    expect(size in MNIST_SIZES, "The image size", size, f"one of {', '.join(map(str, MNIST_SIZES))}")
    from medmnist import PneumoniaMNIST

    folder.mkdir(parents=True, exist_ok=True)
    try:
        PneumoniaMNIST(split="train", download=True, size=size, root=str(folder))
    except (RuntimeError, OSError) as error:
        _find_file(folder, size).unlink(missing_ok=True)
        raise PneumoError(
            f"PneumoniaMNIST at {size} px could not be downloaded ({first_line(error)}). Check the network, "
            f"or put {_find_file(folder, size).name} from Zenodo record 10519652 into {folder}."
        ) from error


def _load_pneumoniamnist(folder, split, folders, *, image_size, preset, max_films) -> XrayDataset:
    """From the smallest file that need not be enlarged; patients are not told, so each film is one."""
    from medmnist import PneumoniaMNIST

    on_disk = list_sizes(folder)
    sizes = on_disk or MNIST_SIZES
    size = next((size for size in sizes if size >= image_size), sizes[-1])
    if not on_disk:
        download(folder, size)
    try:
        films = PneumoniaMNIST(split=split, size=size, root=str(folder))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        name = _find_file(folder, size).name
        raise PneumoError(f"{name} is damaged ({first_line(error)}). Delete it and run again.") from error
    labels = films.labels.reshape(-1).astype(np.int64)
    chosen = choose_films(labels, max_films)
    settings = {"image_size": image_size, "preset": preset}
    images = np.stack([load_image(image, **settings) for image in films.imgs[chosen]])
    names = np.array([f"pneumoniamnist-{split}-{index:04d}" for index in chosen])
    subtypes = np.where(labels[chosen] == 0, "normal", "unknown")
    columns = (labels[chosen], names, subtypes, names)
    return XrayDataset(images, *columns, "pneumoniamnist", split, preset=preset)


SOURCES: dict[str, Callable[..., XrayDataset]] = {
    "chestxray2017": _load_chestxray2017,
    "folder": _load_folder,
    "pneumoniamnist": _load_pneumoniamnist,
    "synthetic": _load_synthetic,
}
