"""Films of any hospital: a folder with the two class folders in it and no splits."""

from pathlib import Path

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.folder import PATIENT_PATTERN, FilmFile, parse_name
from pneumo_utils.data.image_io import IMAGE_SUFFIXES
from pneumo_utils.errors import PneumoError


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
