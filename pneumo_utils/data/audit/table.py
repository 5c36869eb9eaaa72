"""The facts of all film files of a folder: the table that an audit is made from."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pneumo_utils.data.audit.files import AuditFile, list_audit_files
from pneumo_utils.data.audit.picture import Picture, measure_picture
from pneumo_utils.data.image_io import MAX_BYTES, load_image
from pneumo_utils.data.splits import choose_films
from pneumo_utils.errors import ImageError


@dataclass(frozen=True)
class FilmFacts:
    """One film of the table.

    Attributes:
        file: Where it lies and what its name says.
        num_bytes: Size of the file; 0 where it cannot be opened.
        picture: None where the file is damaged.
        damage: Why it cannot be read; empty where it can.
    """

    file: AuditFile
    num_bytes: int
    picture: Picture | None
    damage: str = ""


@dataclass(frozen=True)
class AuditTable:
    """The facts of all films of a folder, sorted by split, class and name."""

    folder: Path
    films: tuple[FilmFacts, ...]
    strays: tuple[tuple[str, str], ...]

    @property
    def readable(self) -> list[FilmFacts]:
        """The films that are not damaged."""
        return [film for film in self.films if film.picture is not None]


def read_facts(folder: Path, *, max_films: int | None = None, num_threads: int | None = None) -> AuditTable:
    """Reads all films of a folder, several at a time, with a progress bar.

    Args:
        folder: Holds the two class folders, or splits that hold them.
        max_films: At most about this many, drawn from the whole folder; None reads all.
        num_threads: 1 or more; None takes what suits the machine. The table is the same.

    Raises:
        PneumoError: There are no class folders or no films.
    """
    listing = list_audit_files(Path(folder))
    chosen = choose_films(np.array([file.label for file in listing.films]), max_films)
    with ThreadPoolExecutor(num_threads) as pool:
        films = pool.map(_read_film, [listing.films[index] for index in chosen])
        films = tuple(tqdm(films, total=len(chosen), desc="reading films", leave=False))
    return AuditTable(listing.folder, films, listing.strays)


def _read_film(file: AuditFile) -> FilmFacts:
    data = b""
    try:
        data = _read_bytes(file.path)
        return FilmFacts(file, len(data), measure_picture(data))
    except ImageError as error:
        return FilmFacts(file, len(data), None, str(error))


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            load_image(path)  # says what is wrong, in the words of the read path
        return path.read_bytes()
    except OSError as error:
        raise ImageError("The file cannot be opened; check its name and that you may read it.") from error
