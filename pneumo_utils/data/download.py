"""The real films: one verified, resumable download and one safe extraction.

`download_chestxray2017(data_folder)` is the way in. A run that is cut off loses nothing: the next one
goes on where it stopped. `data/chest_xray` is either absent or whole.
"""

# pooch verifies and retries too, but every try of it starts at the first byte and a cut-off file is
# thrown away. With 1.2 GB over a classroom's network, that can mean never; hence code of our own.

import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm  # not tqdm.auto, which fails in a notebook that lacks its widget

from pneumo_utils.data.archive import disk_errors, extract_archive, is_whole, require_space
from pneumo_utils.errors import PneumoError

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
