"""Which files an audit looks at: any folder with the two class folders, from whatever hospital."""

from dataclasses import dataclass
from pathlib import Path

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import SPLITS
from pneumo_utils.data.folder import PATIENT_PATTERN, parse_name
from pneumo_utils.data.image_io import IMAGE_SUFFIXES
from pneumo_utils.errors import PneumoError

UNSPLIT = "all"
"""The split of films whose folder has none."""


@dataclass(frozen=True)
class AuditFile:
    """One film and what its place and name say about it.

    Attributes:
        path: Where it lies.
        name: Its place below the audited folder, fit to print.
        split: "train", "val", "test", or "all" where the folder has no splits.
        label: 0 is NORMAL and 1 is PNEUMONIA.
        subtype: "normal", "bacterial", "viral" or "unknown".
        patient: The coarse key, `person12`; `name` where the file name tells no patient.
        series: The fine key, `person12 viral`: the number counts within its pathogen only.
        tells_patient: Whether the file name has the form that tells the patient.
    """

    path: Path
    name: str
    split: str
    label: int
    subtype: str
    patient: str
    series: str
    tells_patient: bool


@dataclass(frozen=True)
class Listing:
    """All films of a folder, sorted by split, class and name, and what else lies between them.

    Attributes:
        folder: As it was asked for.
        films: One entry a film.
        strays: (name, reason) of each file or folder that is not read.
    """

    folder: Path
    films: tuple[AuditFile, ...]
    strays: tuple[tuple[str, str], ...]


def list_audit_files(folder: Path) -> Listing:
    """Lists a folder with or without `train`, `val` and `test` in it.

    Args:
        folder: Holds the class folders, or splits that hold them, itself or in its `chest_xray`.

    Raises:
        PneumoError: The folder is missing, has no class folders, or these hold no film.
    """
    parts = find_parts(folder)
    films, strays = [], _list_beside(folder, parts)
    for split, part in parts.items():
        for label, class_name in enumerate(CLASS_NAMES):
            for path in sorted((part / class_name).glob("*")):
                reason = _reason_to_skip(path)
                if reason:
                    strays.append((_clean(path, folder), reason))
                else:
                    films.append(_describe(path, folder, split=split, label=label))
    if not films:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise PneumoError(f"{folder} holds no film; expected image files ({kinds}). Put films there.")
    return Listing(folder, tuple(films), tuple(strays))


def find_parts(folder: Path) -> dict[str, Path]:
    """The folders that hold the class folders, by split.

    Raises:
        PneumoError: There are none; the message names the folders that are there.
    """
    if not folder.is_dir():
        raise PneumoError(f"{folder} is not a folder; expected one with films in it. Check the path.")
    for place in (folder, folder / "chest_xray"):
        parts = {split: place / split for split in SPLITS if _has_class(place / split)}
        if parts or _has_class(place):
            return parts or {UNSPLIT: place}
    seen = [_clean(path, folder) for path in sorted(folder.iterdir()) if path.is_dir()]
    got = f"only {', '.join(seen[:8])}" if seen else "no folder"
    raise PneumoError(
        f"{folder} has {got} in it; expected {' and '.join(CLASS_NAMES)}, or {', '.join(SPLITS)} with these "
        "in them. Rename the folders of your classes."
    )


def _has_class(place: Path) -> bool:
    return any((place / name).is_dir() for name in CLASS_NAMES)


def _list_beside(folder: Path, parts: dict[str, Path]) -> list[tuple[str, str]]:
    """What lies beside the class folders: a third class, a copy, class folders beside the splits."""
    known = {path / name for path in parts.values() for name in CLASS_NAMES} | set(parts.values())
    places = set(parts.values()) | {part.parent for split, part in parts.items() if split != UNSPLIT}
    beside = sorted(path for place in places for path in place.iterdir() if path not in known)
    return [(_clean(path, folder), "a folder of another name") for path in beside if path.is_dir()]


def _reason_to_skip(path: Path) -> str:
    if path.is_dir():
        return "a folder inside a class folder"
    if path.name.startswith("."):
        return "a hidden file"
    return "" if path.suffix.lower() in IMAGE_SUFFIXES else "not named as an image"


def _describe(path: Path, folder: Path, *, split: str, label: int) -> AuditFile:
    name, (patient, subtype) = _clean(path, folder), parse_name(path.name, label)
    if not PATIENT_PATTERN.match(path.name):
        return AuditFile(path, name, split, label, subtype, name, name, False)
    series = f"{patient} {subtype}" if subtype in ("bacterial", "viral") else patient
    return AuditFile(path, name, split, label, subtype, patient, series, True)


def _clean(path: Path, folder: Path) -> str:
    """The place below the folder; bytes that are no text and signs that do not print become `?`."""
    text = path.relative_to(folder).as_posix()
    return "".join(sign if sign.isprintable() else "?" for sign in text)
