"""ChestXRay2017 from its publisher: a resumable download with a checksum, then a folder, whole or not.

pooch verifies and retries too, but each of its tries starts at the first byte and a file that was cut off is
thrown away. With 1.2 GB over a classroom's network that can mean never; hence a loop of our own.
"""

import hashlib
import os
import shutil
import tempfile
import time
import zipfile
from itertools import product
from pathlib import Path

import requests
from tqdm import tqdm

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.images import IMAGE_SUFFIXES
from pneumo_utils.errors import PneumoError

# Chest X-rays of children: train 1,349 NORMAL and 3,883 PNEUMONIA, test 234 and 390; JPEG, CC BY 4.0.
# Kermany, Zhang, Goldbaum, "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
# Classification", Mendeley Data, version 2.
PAGE = "https://doi.org/10.17632/rscbjbr9sj.2"
URL = "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
URL += "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded"
NAME, NUM_BYTES = "ChestXRay2017.zip", 1_235_512_464
SHA256 = "13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36"
FOLDER = "chest_xray"  # in the archive and of the films unpacked from it
RETRIES = 5  # failed tries in a row, after the first one, without a new byte
WAIT_S = 1.0  # before the first of them, doubled for each one after
_CHUNK_BYTES = 64 * 1024  # what a cut may cost: the chunk under way is not written
_TIMEOUT_S = (10, 60)  # to connect, and between two reads
_MAX_WAIT_S = 60
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; pneumo-utils)",  # the library's default is refused at times
    "Accept-Encoding": "identity",  # else lengths and ranges would count compressed bytes
}


def download_chestxray2017(data_folder: Path) -> Path:
    """Makes `data_folder / "chest_xray"` there and whole, which needs 2.5 GB; at once if it is already.

    The zip is removed after the extraction, unless it was put there by hand. Raises PneumoError as
    `download_file`, if the disk is too small, or if the folder is there without films.
    """
    folder, zip_path = Path(data_folder) / FOLDER, Path(data_folder) / NAME
    if is_whole(folder):
        return folder
    was_there = zip_path.exists()
    # Asked before the download: films in JPEG hardly shrink in a zip, so the room is needed twice.
    needed = 2 * NUM_BYTES - max(_size(zip_path), _size(_part_of(zip_path)))
    zip_path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(zip_path.parent).free
    if free < needed:
        raise PneumoError(
            f"The disk of {zip_path.parent} has {free:,} bytes free; {needed:,} are needed. "
            "Make room, then run the command again."
        )
    download_file(zip_path)
    extract_films(zip_path, folder)
    if not was_there:
        zip_path.unlink()
    return folder


def download_file(path: Path) -> None:
    """Fetches the archive to `path`, going on from `<path>.part` if an earlier run left one.

    Raises PneumoError without network, for a refusal, or for a file other than expected; then `path` does
    not exist.
    """
    if path.exists():
        _require_checksum(path, "Move it away or delete it, then run the command again.")
        return
    part = _part_of(path)
    try:
        _fetch(part)
    except PneumoError as error:
        raise PneumoError(
            f"{path.name} could not be downloaded: {error}. By hand: open {URL} in a browser, save "
            f"the file as {path}, run the command again. Or put the unpacked films of {PAGE} at "
            f"{path.parent / FOLDER}."
        ) from None
    try:
        _require_checksum(part, "It was deleted; run the command again.")
    except PneumoError:
        part.unlink()  # nothing in it can be trusted, so nothing is worth going on from
        raise
    os.replace(part, path)


def _fetch(part: Path) -> None:
    """Fills `part` up to its size, over as many connections as that takes; a PneumoError is a bare reason."""
    most, failures = _size(part), 0
    with tqdm(total=NUM_BYTES, desc=NAME, unit="B", unit_scale=True) as bar:
        while _size(part) != NUM_BYTES:
            try:
                reason = _receive(part, bar=bar)
            except requests.RequestException as error:
                reason = f"no connection, or it was lost ({type(error).__name__})"
            size = _size(part)
            if size == NUM_BYTES:
                return
            # Measured by the most bytes ever held: a server that cuts every try at the same place and
            # cannot resume makes no progress, one that cuts often but resumes does.
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            if failures > RETRIES:
                raise PneumoError(reason)
            bar.set_description(f"{NAME}: {reason}, try {failures} of {RETRIES}")
            time.sleep(min(WAIT_S * 2 ** (failures - 1), _MAX_WAIT_S))


def _receive(part: Path, *, bar: tqdm) -> str:
    """One request; what arrives is added to `part`, also when it breaks off. Returns why that is not all."""
    have = _size(part)
    headers = _HEADERS | {"Range": f"bytes={have}-"} if have else _HEADERS
    with requests.get(URL, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        status, given = response.status_code, response.headers
        if status in (408, 429) or status >= 500:
            return f"the server answered {status}"
        is_rest = status == 206
        if status == 416 or (is_rest and not given.get("Content-Range", "").startswith(f"bytes {have}-")):
            part.unlink(missing_ok=True)
            return "the part does not fit what the server has"
        if status not in (200, 206):
            raise PneumoError(f"the server answered {status}")
        if given.get("Content-Type", "").startswith("text/html"):
            raise PneumoError("the server sent a web page instead of the file")
        with part.open("ab" if is_rest else "wb") as file:
            bar.n = have if is_rest else 0
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > NUM_BYTES:
                    break
    if _size(part) > NUM_BYTES:
        part.unlink()
        raise PneumoError(f"the server sent more than the expected {NUM_BYTES:,} bytes")
    return "the connection closed early"


def extract_films(zip_path: Path, folder: Path) -> None:
    """Unpacks the films of an archive whose checksum holds; `folder` appears whole or not at all.

    The archive holds `chest_xray/<split>/<class>/<image>`, and stray files that are left out.
    """
    with (
        zipfile.ZipFile(zip_path) as archive,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as scratch,
    ):
        films = [name for name in archive.namelist() if name.startswith(f"{FOLDER}/") and _is_image(name)]
        for name in tqdm(films, desc="unpacking", unit="film"):
            archive.extract(name, scratch)
        os.rename(Path(scratch) / FOLDER, folder)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and not Path(name).name.startswith(".")


def is_whole(folder: Path) -> bool:
    """Whether the films are there; raises PneumoError if only the folder is, for it may be someone's."""
    if not folder.exists():
        return False
    for split, name in product(("train", "test"), CLASS_NAMES):  # only mirrors have a `val`
        if not any(_is_image(path.name) for path in (folder / split / name).glob("*")):
            raise PneumoError(
                f"{folder} is there but has no images in {split}/{name}. "
                "Complete it, or move it away, then run the command again."
            )
    return True


def _require_checksum(path: Path, remedy: str) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != SHA256:
        raise PneumoError(f"{path} has {_size(path):,} bytes and SHA-256 {got}; expected {SHA256}. {remedy}")


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _size(path: Path) -> int:
    """Bytes in a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
