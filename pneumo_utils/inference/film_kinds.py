"""What kind of picture this is: a small network that tells a frontal chest film from all else."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.models.halves import load_halves
from pneumo_utils.models.sessions import InferenceSession, open_session

KINDS = ("chest", "inverted", "on_side", "upside_down", "side_view", "several", "unusable", "other")
INPUT_SIZE = 64
WEIGHTS = Path(__file__).parent / "guard_weights"


@dataclass(frozen=True)
class FilmKindModel:
    """The trained network with its two limits; trained by `guard_training`.

    Attributes:
        session: Maps the views of pictures, float32 (B, 2, 64, 64), to logits of the kinds, (B, K).
        reject_below: A picture whose P(chest) is lower is rejected.
        warn_below: One whose P(chest) is lower, though not that low, is warned of.
    """

    session: InferenceSession
    reject_below: float
    warn_below: float

    def predict(self, image: np.ndarray) -> np.ndarray:
        """P(kind), float32 (K,), for one picture, uint8 (H, W) of any size."""
        (logits,) = self.session.run(None, {"views": make_views(shrink(image))[None]})
        odds = np.exp(logits[0] - logits[0].max())
        return odds / odds.sum()

    def judge(self, image: np.ndarray) -> tuple[str, str]:
        """The verdict on one picture: "accept", "warn" or "reject", and its kind.

        Args:
            image: uint8 (H, W), any size.

        Returns:
            The verdict, and "chest" where it is "accept", else the likeliest of the other kinds.
        """
        probs = self.predict(image)
        if probs[0] >= self.warn_below:
            return "accept", KINDS[0]
        verdict = "warn" if probs[0] >= self.reject_below else "reject"
        return verdict, KINDS[1 + int(probs[1:].argmax())]


def shrink(image: np.ndarray) -> np.ndarray:
    """The picture as the network sees it, uint8 (64, 64), for uint8 (H, W)."""
    size = (INPUT_SIZE, INPUT_SIZE)
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def make_views(picture: np.ndarray) -> np.ndarray:
    """Two views of a picture in which its exposure no longer shows.

    Args:
        picture: uint8 (H, W).

    Returns:
        float32 (2, H, W), each -1 to 1, as `film_kind_net.normalise_levels` gives them in training.
    """
    up_to = np.bincount(picture.ravel(), minlength=256).cumsum()
    grey = np.arange(256, dtype=np.float32) / 255
    last = picture.size - 1
    low, high = (grey[np.searchsorted(up_to, int(share * last), side="right")] for share in (0.01, 0.99))
    stretched = np.clip((grey - low) / max(high - low, np.float32(1e-3)), 0, 1) * 2 - 1
    ranks = (up_to + np.append(0, up_to[:-1])) / picture.size - 1
    return np.stack([stretched, ranks]).astype(np.float32)[:, picture]


@lru_cache(maxsize=2)
def load_film_kinds(folder: Path = WEIGHTS) -> FilmKindModel:
    """The trained network, read once.

    Args:
        folder: Where its three files lie; those that come with the package if left out.

    Raises:
        PneumoError: A file is missing or damaged.
    """
    try:
        values = json.loads((folder / "film_kinds.json").read_text(encoding="utf-8"))
        if values["kinds"] != list(KINDS):
            raise ValueError(f"it knows {', '.join(values['kinds'])}")
        graph, weights = (folder / "film_kinds.onnx").read_bytes(), folder / "film_kinds.safetensors"
        session = open_session(graph, load_halves(weights), num_threads=1)  # several films at once
        return FilmKindModel(session, values["reject_below"], values["warn_below"])
    except Exception as error:  # a damaged file can fail in any way; the message names it
        raise PneumoError(
            f"The film guard's weights cannot be read ({first_line(error)}). Install the package again."
        ) from error
