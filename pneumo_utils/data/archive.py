"""A zip of films to a folder: safely, and whole or not at all."""

import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.dataset import SPLITS
from pneumo_utils.errors import PneumoError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
MAX_UNPACKED_BYTES = 8 * 10**9
"""Several times the real data set; an archive that claims more is not it."""

# All that zipfile raises for bytes it cannot make sense of; RuntimeError stands for an encrypted entry.
_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)


def extract_archive(archive_path: Path, folder: Path, *, progress: bool = True) -> Path:
    """Unpack the films of a zip to `folder`, which appears whole or not at all.

    Only `chest_xray/<split>/<class>/<image>` is taken, wherever in the zip `chest_xray` lies; where it
    lies twice (one inside the other, as in a common mirror), the outer one. Everything else is left out.

    Args:
        archive_path: The zip.
        folder: The new `chest_xray`; left alone if it is there with films.
        progress: Show a progress bar on standard error.

    Returns:
        `folder`, with `<split>/<class>/<image>`.

    Raises:
        PneumoError: The zip is damaged, unsafe, too large or not this data set; the disk is full; or
            `folder` is there without films.
    """
    folder = Path(folder)
    if is_whole(folder):
        return folder
    try:
        with disk_errors(archive_path), zipfile.ZipFile(archive_path) as zip_file:
            members = _choose_members(zip_file.infolist())
            require_space(folder.parent, sum(info.file_size for info in members.values()))
            _extract_whole(zip_file, members, folder, progress=progress)
    except _ZIP_DAMAGE as error:
        raise PneumoError(
            f"{archive_path} is not a whole zip file ({error}). Delete it and run the command again."
        ) from None
    return folder


def _choose_members(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The films to unpack, by `<split>/<class>/<image>`, of the outermost `chest_xray` in the zip."""
    trees: dict[tuple[str, ...], dict[str, zipfile.ZipInfo]] = {}
    for info in infos:
        parts = _safe_parts(info)
        if not info.is_dir() and _is_film(parts):
            trees.setdefault(parts[:-3], {})["/".join(parts[-3:])] = info
    members = trees[min(trees, key=lambda root: (len(root), root))] if trees else {}
    missing = _missing({name.rpartition("/")[0] for name in members})
    if missing:
        raise PneumoError(f"The zip has no images in chest_xray/{missing[0]}; it is not this data set.")
    # zipfile never yields more bytes of an entry than it declares, so the sum of the claims is a bound.
    total = sum(info.file_size for info in members.values())
    if total > MAX_UNPACKED_BYTES:
        raise PneumoError(f"The zip unpacks to {total:,} bytes; expected {MAX_UNPACKED_BYTES:,} at most.")
    return members


def _safe_parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The path of an entry in pieces; an archive that tries to write elsewhere is refused whole."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip was made on Windows
    is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
    if path.is_absolute() or ".." in path.parts or ":" in info.filename or not is_plain:
        raise PneumoError(
            f"The zip holds {info.filename!r}, a link or a path that leads elsewhere; expected films only. "
            "Nothing was unpacked; fetch the archive again from its own page."
        )
    return path.parts


def _is_film(parts: tuple[str, ...]) -> bool:
    if len(parts) < 4 or "__MACOSX" in parts:
        return False
    root, split, class_name, name = parts[-4:]
    return root == "chest_xray" and split in SPLITS and class_name in CLASS_NAMES and _is_image(name)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _extract_whole(zip_file: zipfile.ZipFile, members: dict, folder: Path, *, progress: bool) -> None:
    """Write the films beside `folder` and rename at the end."""
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{folder.name}-", ignore_cleanup_errors=True
    ) as scratch:
        whole = Path(scratch) / folder.name  # one level down: the scratch folder itself is private (0700)
        for name, info in tqdm(members.items(), desc="unpacking", unit="film", disable=not progress):
            target = whole / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with zip_file.open(info) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
        os.rename(whole, folder)


def is_whole(folder: Path) -> bool:
    """Whether the films are there; refuses a folder that is there without them, as it may be someone's."""
    if not folder.exists():
        return False
    present = {
        f"{split}/{name}"
        for split in SPLITS
        for name in CLASS_NAMES
        if any(_is_image(path.name) for path in (folder / split / name).glob("*"))
    }
    missing = _missing(present)
    if missing:
        raise PneumoError(
            f"{folder} is there but has no images in {missing[0]}. "
            "Complete it, or move it away, then run the command again."
        )
    return True


def _missing(present: set[str]) -> list[str]:
    """What a whole data set lacks; only mirrors have a `val`, so it is not asked for."""
    needed = [f"{split}/{name}" for split in ("train", "test") for name in CLASS_NAMES]
    return [pair for pair in needed if pair not in present]


def require_space(folder: Path, num_bytes: int) -> None:
    """Make `folder` and see that `num_bytes` fit on its disk."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise PneumoError(
            f"The disk of {folder} has {free:,} bytes free; {num_bytes:,} are needed. "
            "Make room, then run the command again."
        )


@contextmanager
def disk_errors(path: Path):
    """Give errors of the file system the form of all our messages."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise PneumoError(
            f"{where} cannot be read or written: {error.strerror or error}. "
            "Check the folder and the free space, then run the command again."
        ) from error
