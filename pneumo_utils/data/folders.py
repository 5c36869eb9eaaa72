"""Films of any hospital: a folder with the two class folders in it and no splits."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import XrayDataset, make_films, take_films
from pneumo_utils.data.images import IMAGE_SUFFIXES, load_image, measure_image, read_bytes
from pneumo_utils.data.splits import choose_films
from pneumo_utils.errors import ImageError, PneumoError

MAX_DAMAGED_SHARE = 0.05
PATIENT_PATTERN = re.compile(
    r"(?P<patient>person\d+)_(?P<pathogen>bacteria|virus)|(?P<series>(NORMAL2-)?IM-\d+)"
)
SUBTYPES = {"bacteria": "bacterial", "virus": "viral"}


@dataclass(frozen=True)
class FilmFile:
    """One film of the listing: where it lies and what its place and name say about it."""

    path: Path
    label: int
    patient: str
    subtype: str


def find_dataset_folder(folder: Path) -> Path:
    """The folder that holds `train` and `test`: `folder` itself or the `chest_xray` below it.

    Raises:
        PneumoError: There is no such folder.
    """
    for candidate in (folder, folder / "chest_xray"):
        if (candidate / "train").is_dir() and (candidate / "test").is_dir():
            return candidate
    got = "is not a folder" if not folder.is_dir() else "has no train and test folders in it"
    raise PneumoError(
        f"{folder} {got}; expected the layout {{train,test}}/{{{','.join(CLASS_NAMES)}}}. "
        "Check the path, or run `pneumo data download`."
    )


def list_films(folder: Path, split: str) -> list[FilmFile]:
    """The films of one official split, sorted by name, junk left out.

    Kaggle's `val` folder, 16 films taken from the original training set, is joined to train.

    Args:
        folder: Holds `train` and `test`.
        split: "train" or "test".

    Returns:
        One entry a film; hidden files (`._*`, `.DS_Store`) and files that are not images are left out.

    Raises:
        PneumoError: A class folder is missing or empty.
    """
    parts = [folder / split] + ([folder / "val"] if split == "train" and (folder / "val").is_dir() else [])
    films = [film for part in parts for film in _list_part(part)]
    for label, name in enumerate(CLASS_NAMES):
        if not any(film.label == label for film in films):
            raise PneumoError(
                f"{folder / split / name} holds no film; expected image files "
                f"({', '.join(sorted(IMAGE_SUFFIXES))}). Put films of class {name} there."
            )
    return sorted(films, key=lambda film: film.path.name)


def _list_part(part: Path) -> list[FilmFile]:
    films = []
    for label, name in enumerate(CLASS_NAMES):
        for path in (part / name).glob("*"):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                films.append(FilmFile(path, label, *parse_name(path.name, label)))
    return films


def parse_name(name: str, label: int) -> tuple[str, str]:
    """Patient and subtype as a file name of this data set tells them.

    `person12_bacteria_34.jpeg` gives ("person12", "bacterial"): the coarse patient key, because the
    numbers of the bacterial and the viral series may name the same child. `IM-0115-0001.jpeg` and
    `NORMAL2-IM-0115-0001.jpeg` give two different patients. A name of another form is a patient of
    its own with subtype "unknown".
    """
    match = PATIENT_PATTERN.match(name)
    subtype = "normal" if label == 0 else "unknown"
    if match is None:
        return name, subtype
    if match["pathogen"]:
        subtype = SUBTYPES[match["pathogen"]]
    return match["patient"] or match["series"], subtype


def read_films(
    films: list[FilmFile],
    *,
    image_size: int,
    split: str,
    max_films: int | None,
    source: str = "chestxray2017",
) -> XrayDataset:
    """Decodes films, several at a time, with a progress bar.

    Args:
        films: The listing.
        image_size: Height and width they are squashed to, pixels.
        split: "train" or "test".
        max_films: At most about this many, for the short mode; None reads all.
        source: What the films are called.

    Returns:
        The films that could be read; the names of the others are in `skipped`.

    Raises:
        PneumoError: More than 5 % of the films are damaged.
    """
    chosen = choose_films(np.array([film.label for film in films]), max_films)
    films = [films[index] for index in chosen]

    images = make_films(len(films), image_size, image_size)

    def read(place: int) -> tuple[int, int] | ImageError:
        try:
            data = read_bytes(films[place].path)
            images[place] = load_image(data, image_size=image_size)
            return measure_image(data)
        except ImageError as error:
            return error

    # Threads, not processes: Pillow decodes outside Python's lock, and nothing can hang in a notebook.
    with ThreadPoolExecutor() as pool:
        reading = pool.map(read, range(len(films)))
        results = list(tqdm(reading, total=len(films), desc=f"reading {split} films", leave=False))
    _require_mostly_readable(films, results)
    good = [index for index, result in enumerate(results) if not isinstance(result, ImageError)]
    return XrayDataset(
        images=images if len(good) == len(films) else take_films(images, good),
        labels=np.array([films[index].label for index in good], dtype=np.int64),
        patients=np.array([films[index].patient for index in good]),
        subtypes=np.array([films[index].subtype for index in good]),
        names=np.array([films[index].path.name for index in good]),
        sizes=np.array([results[index] for index in good], dtype=np.int64),
        source=source,
        split=split,
        skipped=tuple(
            film.path.name for film, r in zip(films, results, strict=True) if isinstance(r, ImageError)
        ),
    )


def _require_mostly_readable(films, results) -> None:
    damaged = [(film, r) for film, r in zip(films, results, strict=True) if isinstance(r, ImageError)]
    if len(damaged) > MAX_DAMAGED_SHARE * len(films):
        film, reason = damaged[0]
        raise PneumoError(
            f"{len(damaged)} of {len(films)} films cannot be read; expected at most "
            f"{MAX_DAMAGED_SHARE:.0%}. The first is {film.path.name}: {reason} Copy the data set again."
        )


def find_class_folders(folder: Path) -> dict[str, Path]:
    """The class folders in a folder, by class name; their names may be in small letters."""
    if not folder.is_dir():
        return {}
    found = {path.name.upper(): path for path in _list_folders(folder)}
    return {name: found[name] for name in CLASS_NAMES if name in found}


def list_class_films(folder: Path) -> list[FilmFile]:
    """All films below the class folders, class after class, sorted by their place.

    A folder inside a class folder stands for a patient, `NORMAL/patient7/left.png`: its films are drawn
    together where an interval is computed. Without one, a name as in ChestXRay2017 tells the patient, and a
    film of any other name counts as a patient of its own.

    Args:
        folder: Holds `NORMAL`, `PNEUMONIA` or both, and no folder of films beside them.

    Raises:
        PneumoError: There is no film, or there are films of another class.
    """
    classes = find_class_folders(folder)
    others = [path for path in _list_folders(folder) if path not in classes.values() and _list_images(path)]
    if others:
        found = ", ".join(path.name for path in others[:5])
        raise PneumoError(
            f"{folder} holds films of other classes: {found}; expected {' and '.join(CLASS_NAMES)} only. "
            "Move those folders elsewhere, or into one of the two."
        )
    films = []
    for name, place in classes.items():
        for path in _list_images(place):
            films.append(_describe(path, place, label=CLASS_NAMES.index(name)))
    if not films:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise PneumoError(
            f"The class folders in {folder} hold no film; expected image files ({kinds}). Put films there."
        )
    return films


def _describe(path: Path, class_folder: Path, *, label: int) -> FilmFile:
    patient, subtype = parse_name(path.name, label)
    place = path.relative_to(class_folder)
    if len(place.parts) > 1:
        patient = place.parts[0]
    elif not PATIENT_PATTERN.match(path.name):
        patient = f"{CLASS_NAMES[label]}/{place}"  # `1.png` of each class are two films, not one patient
    return FilmFile(path, label, patient, subtype)


def _list_folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX"))
    )


def _list_images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
