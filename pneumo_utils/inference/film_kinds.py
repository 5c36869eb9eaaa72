"""What kind of picture this is: a small network that tells a frontal chest film from all else."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.models.cnn import conv_block

KINDS = ("chest", "inverted", "on_side", "upside_down", "side_view", "several", "unusable", "other")
INPUT_SIZE = 64
WEIGHTS = Path(__file__).parent / "guard_weights"


class FilmKindNet(nn.Module):
    """Stages of two convolution blocks, the first of each halving height and width.

    Args:
        widths: Channels of each stage.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64)):
        super().__init__()
        blocks, channels = [], 2
        for width in widths:
            blocks += [conv_block(channels, width, stride=2), conv_block(width, width)]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, len(KINDS))

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Logits of the kinds, float (B, K), for grey levels in 0 to 1, float (B, 1, S, S)."""
        return self.head(self.features(normalise_levels(levels)).mean((2, 3)))


def normalise_levels(levels: torch.Tensor) -> torch.Tensor:
    """Two views of a picture in which its exposure no longer shows.

    Args:
        levels: float (B, 1, H, W), any range.

    Returns:
        float (B, 2, H, W), each -1 to 1: the levels stretched from their 1st to their 99th percentile, and
        their ranks, which is what equalising the histogram gives.
    """
    flat = levels.flatten(1)
    ordered = flat.sort(1).values
    below = torch.searchsorted(ordered, flat) + torch.searchsorted(ordered, flat, right=True)
    ranks = below.to(levels.dtype) / flat.shape[1] - 1
    low, high = (ordered[:, int(share * (flat.shape[1] - 1)), None] for share in (0.01, 0.99))
    stretched = ((flat - low) / (high - low).clamp_min(1e-3)).clamp(0, 1) * 2 - 1
    return torch.stack([stretched, ranks], 1).view(len(levels), 2, *levels.shape[2:])


@dataclass(frozen=True)
class FilmKindModel:
    """The trained network with its two limits.

    Attributes:
        net: In evaluation mode, on the CPU.
        reject_below: A picture whose P(chest) is lower is rejected.
        warn_below: One whose P(chest) is lower, though not that low, is warned of.
    """

    net: FilmKindNet
    reject_below: float
    warn_below: float

    @torch.inference_mode()
    def predict(self, levels: torch.Tensor) -> np.ndarray:
        """P(kind), float32 (B, K), for float (B, 1, S, S) in 0 to 1."""
        return self.net(levels).softmax(1).numpy()

    def judge(self, image: np.ndarray) -> tuple[str, str]:
        """The verdict on one picture: "accept", "warn" or "reject", and its kind.

        Args:
            image: uint8 (H, W), any size.

        Returns:
            The verdict, and "chest" where it is "accept", else the likeliest of the other kinds.
        """
        probs = self.predict(shrink(image))[0]
        if probs[0] >= self.warn_below:
            return "accept", KINDS[0]
        verdict = "warn" if probs[0] >= self.reject_below else "reject"
        return verdict, KINDS[1 + int(probs[1:].argmax())]


def shrink(image: np.ndarray) -> torch.Tensor:
    """The picture as the network sees it: float (1, 1, 64, 64) in 0 to 1, for uint8 (H, W)."""
    small = Image.fromarray(image).resize((INPUT_SIZE,) * 2, Image.Resampling.BOX, reducing_gap=2.0)
    return torch.from_numpy(np.array(small)).float().div_(255)[None, None]


def save_film_kinds(model: FilmKindModel, card: dict, folder: Path = WEIGHTS) -> Path:
    """Writes `film_kinds.safetensors` in half precision and `film_kinds.json`.

    Args:
        model: Its weights already rounded to half precision, its limits chosen on those.
        card: Plain values about the training.
        folder: Where to.

    Returns:
        The path of the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in model.net.state_dict().items()
    }
    save_file(state, folder / "film_kinds.safetensors")
    path = folder / "film_kinds.json"
    limits = {"reject_below": model.reject_below, "warn_below": model.warn_below}
    path.write_text(json.dumps({"kinds": KINDS, **limits, "card": card}, indent=1) + "\n", encoding="utf-8")
    return path


@lru_cache(maxsize=2)
def load_film_kinds(folder: Path = WEIGHTS) -> FilmKindModel:
    """The trained network, read once.

    Args:
        folder: Where its two files lie; those that come with the package if left out.

    Raises:
        PneumoError: A file is missing or damaged.
    """
    try:
        values = json.loads((folder / "film_kinds.json").read_text(encoding="utf-8"))
        if values["kinds"] != list(KINDS):
            raise ValueError(f"it knows {', '.join(values['kinds'])}")
        net = FilmKindNet().eval()
        net.load_state_dict(load_file(folder / "film_kinds.safetensors"))
        return FilmKindModel(net, values["reject_below"], values["warn_below"])
    except Exception as error:  # a damaged file can fail in any way; the message names it
        raise PneumoError(
            f"The film guard's weights cannot be read ({first_line(error)}). Install the package again."
        ) from error
