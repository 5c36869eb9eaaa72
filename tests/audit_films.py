"""Made-up folders of films for the tests of the audit: each expected figure can be counted by hand."""

from pathlib import Path

import numpy as np
from PIL import Image

from pneumo_utils.audit.findings import make_findings


def make_blobs(seed: int, *, height: int = 130, width: int = 150) -> np.ndarray:
    """Smooth random blobs, uint8 (H, W): two seeds look as different as two chests."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 10), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def write(root: Path, place: str, film, **options) -> Path:
    """Saves a film at a place such as `train/NORMAL/a.png`; a whole number is the seed of its blobs."""
    pixels = make_blobs(film) if isinstance(film, int) else film
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def titles(summary: dict, level: str) -> str:
    """The titles of the findings of a level."""
    return "\n".join(finding.title for finding in make_findings(summary) if finding.level == level)
