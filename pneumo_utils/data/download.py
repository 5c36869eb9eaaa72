"""ChestXRay2017 from its publisher: a resumable download with a checksum, then a folder, whole or not."""

import hashlib
import os
import re
import shutil
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests
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


_CHUNK_BYTES = 64 * 1024  # what a cut may cost: the chunk under way is not written
_TIMEOUT_S = (10, 60)  # to connect, and between two reads
_MAX_WAIT_S = 60
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; pneumo-utils)",  # the library's default is refused at times
    "Accept-Encoding": "identity",  # else lengths and ranges would count compressed bytes
}
_REFUSALS = {
    401: "it asks for a login",
    403: "it refuses downloads by programs at times",
    404: "the file is no longer at this address",
    410: "the file is no longer at this address",
}


@dataclass(frozen=True)
class Archive:
    """A zip on the web and what it must be.

    Attributes:
        url: Where it is fetched.
        sha256: Checksum of the zip, 64 hex digits.
        num_bytes: Size of the zip, bytes.
        name: File name on disk.
        page: The page for people that describes it.
    """

    url: str
    sha256: str
    num_bytes: int
    name: str
    page: str


CHESTXRAY2017 = Archive(
    url="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
    sha256="13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
    num_bytes=1_235_512_464,
    name="ChestXRay2017.zip",
    page="https://doi.org/10.17632/rscbjbr9sj.2",
)
"""Chest X-rays of children: train 1,349 NORMAL and 3,883 PNEUMONIA, test 234 and 390; JPEG, 1.2 GB.

Source: Kermany, Zhang, Goldbaum, "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
Classification", Mendeley Data, version 2, DOI 10.17632/rscbjbr9sj.2. Licence: CC BY 4.0.
"""


def download_chestxray2017(
    data_folder: Path,
    *,
    archive: Archive = CHESTXRAY2017,
    retries: int = 5,
    wait_s: float = 1.0,
    progress: bool = True,
) -> Path:
    """Make `data_folder / "chest_xray"` there and whole; at once if it is already.

    The zip is removed after the extraction, unless it was there before, put there by hand.

    Args:
        data_folder: Made if absent. Needs room for the zip and the films, 2.5 GB.
        archive: What to fetch.
        retries: As `download_file`.
        wait_s: As `download_file`, seconds.
        progress: Show progress bars on standard error.

    Returns:
        The folder with `train/` and `test/`, each with `NORMAL/` and `PNEUMONIA/`.

    Raises:
        PneumoError: As `download_file` and `extract_archive`.
    """
    folder = Path(data_folder) / "chest_xray"
    zip_path = Path(data_folder) / archive.name
    if is_whole(folder):
        return folder
    was_there = zip_path.exists()
    have = _size(zip_path) or _size(_part_of(zip_path))
    # Asked before the download: films in JPEG hardly shrink in a zip, so the room is needed twice.
    require_space(zip_path.parent, 2 * archive.num_bytes - have)
    hint = f" Or put the unpacked films of {archive.page} at {folder}."
    options = {"retries": retries, "wait_s": wait_s, "progress": progress, "hint": hint}
    download_file(archive.url, zip_path, sha256=archive.sha256, num_bytes=archive.num_bytes, **options)
    extract_archive(zip_path, folder, progress=progress)
    if not was_there:
        zip_path.unlink()
    return folder


def download_file(
    url: str,
    path: Path,
    *,
    sha256: str,
    num_bytes: int,
    retries: int = 5,
    wait_s: float = 1.0,
    progress: bool = True,
    hint: str = "",
) -> Path:
    """Fetch `url` to `path`, going on from `<path>.part` if an earlier run left one.

    Args:
        url: Where the file is.
        path: Where it goes. A file that is there with the right checksum is not fetched again.
        sha256: Expected checksum, 64 hex digits.
        num_bytes: Expected size, bytes.
        retries: Failed tries in a row, without a new byte, after the first one; 0 gives up at once.
        wait_s: Seconds before the first of them, doubled for each one after.
        progress: Show a progress bar on standard error.
        hint: Added to the message of a download that failed: another way to the file.

    Returns:
        `path`, which holds the whole file or does not exist.

    Raises:
        PneumoError: No network, a refusal, a full disk, or a file other than expected.
    """
    path = Path(path)
    part = _part_of(path)
    with disk_errors(path):
        if path.exists():
            _verify(path, sha256, "Move it away or delete it, then run the command again.")
            return path
        if _size(part) > num_bytes:
            part.unlink()
        require_space(path.parent, num_bytes - _size(part))
        try:
            _fetch(url, part, num_bytes, retries=retries, wait_s=wait_s, progress=progress)
        except _Refused as error:
            by_hand = f"By hand: open {url} in a browser, save the file as {path}, run the command again."
            raise PneumoError(f"{path.name} could not be downloaded: {error}. {by_hand}{hint}") from None
        try:
            _verify(part, sha256, "It was deleted; run the command again.")
        except PneumoError:
            part.unlink()  # nothing in it can be trusted, so nothing is worth going on from
            raise
        os.replace(part, path)
    return path


class _Refused(Exception):
    """Trying again would not help; the message says why."""


class _TryAgain(Exception):
    """Trying again may help, after `wait_s` seconds at least."""

    def __init__(self, reason: str, *, wait_s: float = 0.0):
        super().__init__(reason)
        self.wait_s = wait_s


def _fetch(url: str, part: Path, num_bytes: int, *, retries: int, wait_s: float, progress: bool) -> None:
    """Fill `part` up to `num_bytes`, over as many connections as that takes."""
    most, failures = _size(part), 0
    label = part.name.removesuffix(".part")
    with tqdm(total=num_bytes, desc=label, unit="B", unit_scale=True, disable=not progress) as bar:
        while _size(part) < num_bytes:
            try:
                _receive(url, part, num_bytes, bar=bar)
                reason, asked_s = "the connection closed early", 0.0
            except _TryAgain as error:
                reason, asked_s = str(error), error.wait_s
            except requests.RequestException as error:
                reason, asked_s = f"no connection, or it was lost ({type(error).__name__})", 0.0
            size = _size(part)
            if size == num_bytes:
                return
            # Measured by the most bytes ever held: a server that cuts every try at the same place and
            # cannot resume makes no progress, one that cuts often but resumes does.
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            if failures > retries:
                raise _Refused(reason)
            bar.set_description(f"{label}: {reason}, try {failures} of {retries}")
            time.sleep(min(max(wait_s * 2 ** (failures - 1), asked_s), _MAX_WAIT_S))


def _receive(url: str, part: Path, num_bytes: int, *, bar: tqdm) -> None:
    """One request; what arrives is added to `part`, also when it breaks off."""
    size = _size(part)
    headers = {**_HEADERS, "Range": f"bytes={size}-"} if size else _HEADERS
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        try:
            size = _check_response(response, size, num_bytes=num_bytes)
        except _BadRange:
            part.unlink(missing_ok=True)
            raise
        bar.n = size
        with part.open("ab" if size else "wb") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                size += len(chunk)
                bar.update(len(chunk))
                if size > num_bytes:
                    break
            file.flush()
            os.fsync(file.fileno())
    if size > num_bytes:
        part.unlink()
        raise _Refused(f"the server sent more than the expected {num_bytes:,} bytes")


class _BadRange(_TryAgain):
    """The part on disk does not fit what the server has; start over."""


def _check_response(response: requests.Response, start: int, *, num_bytes: int) -> int:
    """Where in the file the body begins: `start`, or 0 if the server ignores ranges."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        asked = response.headers.get("Retry-After", "")
        raise _TryAgain(f"the server answered {status}", wait_s=float(asked) if asked.isdecimal() else 0.0)
    if status == 416:
        raise _BadRange("the server has no bytes from there on")
    if status not in (200, 206):
        raise _Refused(f"the server answered {status}; {_REFUSALS.get(status, 'that is not the file')}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _Refused("the server sent a web page instead of the file")
    total = response.headers.get("Content-Length", "")
    if status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != start:
            raise _BadRange("the server sent another range than asked for")
        total = match[2]
    if total.isdecimal() and int(total) != num_bytes:
        raise _Refused(f"the server's file has {int(total):,} bytes, expected {num_bytes:,}")
    return start if status == 206 else 0


def _verify(path: Path, sha256: str, remedy: str) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        raise PneumoError(f"{path} has {_size(path):,} bytes and SHA-256 {got}; expected {sha256}. {remedy}")


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _size(path: Path) -> int:
    """Bytes in a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
