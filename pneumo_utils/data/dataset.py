"""`XrayDataset`: the one table in which all sources end."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.film_array import take_films
from pneumo_utils.errors import PneumoError

SPLITS = ("train", "val", "test")
COLUMNS = ("images", "labels", "patients", "subtypes", "names", "sizes")
"""What an `XrayDataset` keeps of each film."""


@dataclass(frozen=True)
class XrayDataset:
    """N grey films with what is known of each.

    Attributes:
        images: uint8 (N, H, W), 0 (black) to 255 (white), in memory or mapped from a file.
        labels: int64 (N,), 0 is NORMAL and 1 is PNEUMONIA.
        patients: str (N,), the coarse patient key; films that share one never go to both sides of a
            split. A source that does not know its patients gives each film a key of its own.
        subtypes: str (N,), "normal", "bacterial", "viral", or "unknown".
        names: str (N,), file name or a made-up one.
        source: "chestxray2017", "pneumoniamnist", "synthetic", or "folder NAME" for films of elsewhere.
        split: "train", "val" or "test": what the films may be used for.
        skipped: Names of damaged files that were left out.
        sizes: int64 (N, 2), height and width of each film as it was stored, pixels; None where the source
            does not know.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    subtypes: np.ndarray
    names: np.ndarray
    source: str
    split: str
    skipped: tuple[str, ...] = ()
    sizes: np.ndarray | None = None

    def __post_init__(self):
        n = len(self.images)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"images is {self.images.dtype} {self.images.shape}; expected uint8 (N, H, W).")
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; expected one of {', '.join(SPLITS)}.")
        for name in ("labels", "patients", "subtypes", "names"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}; expected ({n},).")
        if self.sizes is not None and self.sizes.shape != (n, 2):
            raise ValueError(f"sizes has shape {self.sizes.shape}; expected ({n}, 2).")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Height of the films, pixels; sources make them square."""
        return self.images.shape[1]

    @property
    def is_synthetic(self) -> bool:
        """Whether the films are phantoms, to be marked as such in every figure and table."""
        return self.source == "synthetic"

    def class_counts(self) -> dict[str, int]:
        """Films of each class, by class name."""
        return {name: int((self.labels == index).sum()) for index, name in enumerate(CLASS_NAMES)}

    def select(self, index, *, split: str | None = None) -> "XrayDataset":
        """The films at `index` (ints or a mask), kept in that order, as a data set of their own.

        Consecutive films of an array that is mapped from a file share it; all else is copied.
        """
        columns = [name for name in COLUMNS if name != "images" and getattr(self, name) is not None]
        chosen = {name: getattr(self, name)[index] for name in columns}
        images = take_films(self.images, index)
        return replace(self, images=images, **chosen, split=split or self.split)

    def fingerprint(self) -> str:
        """32 hex digits that change with any pixel, label, patient or name."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.images, self.labels, self.patients.astype(str), self.names.astype(str)):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return digest.hexdigest()

    def require_both_classes(self) -> "XrayDataset":
        """Itself.

        Raises:
            PneumoError: A class has no film, so nothing can be learnt or measured.
        """
        for name, count in self.class_counts().items():
            if count == 0:
                raise PneumoError(
                    f"The {self.split} split has {len(self)} films and none of class {name}; "
                    f"expected films of both {' and '.join(CLASS_NAMES)}. Add films to the empty class."
                )
        return self
