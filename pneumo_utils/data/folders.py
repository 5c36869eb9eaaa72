"""The films in a folder. Every command lists them here, so all of them see the same films.

A folder inside a class folder is a patient; a film is a file that is named as an image or begins as one.
What is left out is named, what cannot be listed is an error: films missed in silence make figures wrong.
"""

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pneumo_utils.config import CLASS_NAMES, SPLITS
from pneumo_utils.data.images import IMAGE_SUFFIXES, START_BYTES, find_reader, is_dicom
from pneumo_utils.errors import PneumoError, first_line

UNSPLIT = "all"  # the split of films whose folder has none
PATIENT_PATTERN = re.compile(
    r"(?P<patient>person\d+)_(?P<pathogen>bacteria|virus)|(?P<series>(NORMAL2-)?IM-\d+)"
)
SUBTYPES = {"bacteria": "bacterial", "virus": "viral"}
FILM, FOLDER, LINK = "film", "folder", "link to a folder"
HIDDEN, NO_IMAGE, NO_FILE = "hidden", "no image inside", "no ordinary file"
COPY, LISTED = "a copy of the data set inside it", "a link to what is listed already"
OTHER_FOLDER, NO_CLASS = "a folder of another name", "a film in no class folder"
MADE_BY_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini", "lost+found", "$recycle.bin")
MADE_BY_SYSTEMS += ("system volume information", "ehthumbs.db", "icon\r")
NUM_NAMED = 5
_NO_FILM = f"holds no film; expected image files ({', '.join(sorted(IMAGE_SUFFIXES))}). Put films there."


@dataclass(frozen=True)
class FilmFile:
    """One film with a label, and what its place and name say about it."""

    path: Path
    name: str  # its place below the listed folder, fit to print
    split: str  # "train", "val", "test", or "all" where the folder has no splits
    label: int  # 0 is NORMAL and 1 is PNEUMONIA
    subtype: str  # "normal", "bacterial", "viral" or "unknown"
    patient: str  # the coarse key: the folder inside the class folder, or `person12`; else one of its own
    series: str  # the fine key, `person12 viral`: the number counts within its pathogen only
    tells_patient: bool  # whether folder or name tell the patient


@dataclass(frozen=True)
class Listing:
    """The films of a folder, sorted by split, class and place, and (name, reason) of what is not read."""

    films: tuple[FilmFile, ...]
    strays: tuple[tuple[str, str], ...]

    @property
    def left_out(self) -> str:
        """A sentence on the strays that someone has put there; empty if there are none."""
        return _name_strays(self.strays)


def list_files(paths: Iterable[str | Path]) -> tuple[list[Path], str]:
    """Files as they are named, folders as all films below them, sorted; and a sentence on what was left out.

    A film that is named by several paths is listed by the first of them. Raises what `list_folder` does, for
    any folder, and PneumoError if a path is not there.
    """
    found: list[Path] = []
    strays: list[tuple[str, str]] = []
    for path in map(Path, paths):
        if path.is_dir():
            films, others = _walk(path, path)
            if not films:
                raise PneumoError(f"{path} {_NO_FILM} {_name_strays(others)}".strip())
            found, strays = found + films, strays + others
        elif path.exists():
            found.append(path)
        else:
            raise PneumoError(f"{path} is not there; expected an image file or a folder. Check the path.")
    places: dict[Path, Path] = {}
    for path in found:
        places.setdefault(find_place(path), path)
    return list(places.values()), _name_strays(strays)


def find_place(path: Path) -> Path:
    """The one path of a film, whatever path leads to its folder; a link to a film is a film of its own."""
    return Path(os.path.realpath(path.parent), path.name)


def list_films(folder: Path, split: str | None = None) -> list[FilmFile]:
    """The films of one official split, sorted by name, or all films of a folder without splits.

    Kaggle's `val` folder, 16 films taken from the original training set, is joined to train. Raises
    PneumoError as `list_folder`, if a class of a split has no film, or there are films of another class.
    """
    listing = list_folder(folder)
    if split is None:
        others = ", ".join([name for name, reason in listing.strays if reason == OTHER_FOLDER][:NUM_NAMED])
        if others:
            raise PneumoError(
                f"{folder} holds films of other classes: {others}; expected {' and '.join(CLASS_NAMES)} "
                "only. Move those folders elsewhere, or into one of the two."
            )
        return list(listing.films)
    parts = (split, "val") if split == "train" else (split,)
    films = [film for film in listing.films if film.split in parts]
    for label, name in enumerate(CLASS_NAMES):
        if not any(film.label == label for film in films):
            raise PneumoError(f"{Path(folder, split, name)} {_NO_FILM} {listing.left_out}".strip())
    return sorted(films, key=lambda film: film.path.name)


def list_folder(folder: Path) -> Listing:
    """All films with a label, of the layout in `folder` or in its `chest_xray`, and what lies between them.

    Raises PneumoError if it holds no film, a folder in it may not be read, or a link in it leads nowhere.
    """
    folder = Path(folder)
    root, splits = find_root(folder)
    films, (paths, strays) = [], _walk(root, folder)
    for path in paths:
        place = path.parts[len(root.parts) :]
        split, inner = (place[0].lower(), place[1:]) if splits else (UNSPLIT, place)
        if split in (splits or (UNSPLIT,)) and len(inner) > 1 and inner[0].upper() in CLASS_NAMES:
            films.append(_describe(path, _clean(path, folder), split=split, inner=inner))
        else:
            stray = root.joinpath(*place[: 2 if split in splits else 1])
            strays.append((_clean(stray, folder), NO_CLASS if stray == path else OTHER_FOLDER))
    films.sort(key=lambda film: ((*SPLITS, UNSPLIT).index(film.split), film.label, film.path.parts))
    listing = Listing(tuple(films), tuple(sorted(set(strays))))
    if not films:
        raise PneumoError(f"{folder} {_NO_FILM} {listing.left_out}".strip())
    return listing


def find_root(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Where the class folders or splits lie, `folder` or its `chest_xray`, and which splits hold a class."""
    if not folder.is_dir():
        raise PneumoError(
            f"{folder} is not a folder; expected one of films. Check the path, or run `pneumo data download`."
        )
    seen = _list_folders(folder)
    for place in (folder, *(path for path in seen if path.name.lower() == "chest_xray")):
        present = {p.name.lower() for p in _list_folders(place) if p.name.lower() in SPLITS and _has_class(p)}
        if present or _has_class(place):
            return place, tuple(split for split in SPLITS if split in present)
    got = f"only {', '.join(_clean(path, folder) for path in seen[:8])}" if seen else "no folder"
    raise PneumoError(
        f"{folder} has {got} in it; expected {' and '.join(CLASS_NAMES)}, or {', '.join(SPLITS)} with these "
        "in them. Rename the folders of your classes, or run `pneumo data download`."
    )


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


def _describe(path: Path, name: str, *, split: str, inner: tuple[str, ...]) -> FilmFile:
    """`inner`: the class folder and all below it."""
    label = CLASS_NAMES.index(inner[0].upper())
    patient, subtype = parse_name(path.name, label)
    tells_patient = bool(PATIENT_PATTERN.match(path.name)) or len(inner) > 2
    series = f"{patient} {subtype}" if subtype in SUBTYPES.values() else patient
    if len(inner) > 2:
        patient = series = unicodedata.normalize("NFC", inner[1])  # however a system spells an umlaut
    elif not tells_patient and split == UNSPLIT:
        patient = series = f"{CLASS_NAMES[label]}/{path.name}"  # `1.png` of each class are two patients
    return FilmFile(path, name, split, label, subtype, patient, series, tells_patient)


def _walk(top: Path, folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """All films below a folder, sorted, and all else that lies there: its place below `folder`, and why."""
    found: dict[str, list[Path]] = {FILM: [], FOLDER: [top], LINK: []}
    strays, seen, home = [], set(), top.resolve()
    while found[FOLDER] or found[LINK]:
        place = (found[FOLDER] or found[LINK]).pop(0)  # links last: a film is named by its own place
        real = place.resolve()
        if real in seen or (real != home and home.is_relative_to(real)):
            strays.append((_clean(place, folder), LISTED))
            continue
        seen.add(real)
        for path, kind in _scan(place).items():
            if kind in found:
                found[kind].append(path)
            else:
                strays.append((_clean(path, folder), kind))
    films = sorted(found[FILM], key=lambda path: path.parts)  # of parts: the same on all systems
    return films, sorted(strays)


def _scan(folder: Path) -> dict[Path, str]:
    """What lies in a folder, sorted: a film, a folder, a link to one, or why it is none of these."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise PneumoError(
            f"The folder {folder} cannot be read ({first_line(error)}); films in it would be missed. "
            "Ask for the right to read it, or move it elsewhere."
        ) from error
    kinds = {folder / entry.name: _find_kind(entry, folder / entry.name) for entry in entries}
    if {"train", "test"} <= {path.name.lower() for path in kinds}:  # a mirror on Kaggle holds all films twice
        kinds |= {path: COPY for path in kinds if path.name.lower() == "chest_xray"}
    return kinds


def _find_kind(entry: os.DirEntry, path: Path) -> str:
    if entry.name.startswith(".") or entry.name.lower() in MADE_BY_SYSTEMS:
        return HIDDEN
    try:
        if entry.is_symlink():
            os.stat(path)
        if entry.is_dir():
            return LINK if entry.is_symlink() else FOLDER
    except OSError as error:
        raise PneumoError(
            f"The link {path} leads nowhere ({first_line(error)}); expected a film or a folder behind it. "
            "Mend the link, or delete it."
        ) from error
    if not entry.is_file():
        return NO_FILE
    return FILM if path.suffix.lower() in IMAGE_SUFFIXES or _begins_as_image(path) else NO_IMAGE


def _begins_as_image(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(START_BYTES)
    except OSError:
        return True  # whoever reads it says that it cannot be opened
    return path.name.upper() != "DICOMDIR" and (is_dicom(start) or find_reader(start) is not None)


def _list_folders(folder: Path) -> list[Path]:
    return [path for path, kind in _scan(folder).items() if kind in (FOLDER, LINK)]


def _has_class(folder: Path) -> bool:
    return any(path.name.upper() in CLASS_NAMES for path in _list_folders(folder))


def _name_strays(strays) -> str:
    named = [f"{name} ({reason})" for name, reason in strays if reason != HIDDEN]
    rest = f" and {len(named) - NUM_NAMED:,} more" if len(named) > NUM_NAMED else ""
    return f"Left out: {', '.join(named[:NUM_NAMED])}{rest}." if named else ""


def _clean(path: Path, folder: Path) -> str:
    """The place below the folder; bytes that are no text and signs that do not print become `?`."""
    text = unicodedata.normalize("NFC", "/".join(path.parts[len(folder.parts) :]))
    return "".join(sign if sign.isprintable() else "?" for sign in text)
