"""The network of `film_kinds` as it is trained, and the files that it is kept in."""

import json
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from pneumo_utils.guard.guard import INPUT_SIZE, KINDS, WEIGHTS
from pneumo_utils.models.cnn import conv_block
from pneumo_utils.models.onnx import build_onnx
from tools.shipped_files import save_halves, strip_weights


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

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Logits of the kinds, float (B, K), for what `normalise_levels` returns."""
        return self.head(self.features(views).mean((2, 3)))


def normalise_levels(levels: torch.Tensor) -> torch.Tensor:
    """Two views of pictures in which their exposure no longer shows.

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


@torch.inference_mode()
def predict_chest(net: FilmKindNet, levels: torch.Tensor) -> torch.Tensor:
    """P(chest), float (B,), for float (B, 1, 64, 64) in 0 to 1."""
    return net(normalise_levels(levels)).softmax(1)[:, 0]


def save_film_kinds(net: FilmKindNet, limits: dict[str, float], card: dict, folder: Path = WEIGHTS) -> Path:
    """Writes `film_kinds.safetensors` in half precision, its graph `film_kinds.onnx` and `film_kinds.json`.

    Args:
        net: Its weights already rounded to half precision.
        limits: Of P(chest), as `choose_limits` chose them on those weights.
        card: Plain values about the training.
        folder: Where to.

    Returns:
        The path of the card.

    Raises:
        UsageError: The packages that write ONNX are not installed.
    """
    graph = _make_graph()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "film_kinds.onnx").write_bytes(graph)
    save_halves(net.state_dict(), folder / "film_kinds.safetensors")
    path = folder / "film_kinds.json"
    values = {"kinds": KINDS, **limits, "card": card}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8", newline="\n")
    return path


@lru_cache
def _make_graph() -> bytes:
    net = FilmKindNet().eval()
    example = torch.zeros(2, 2, INPUT_SIZE, INPUT_SIZE)
    return strip_weights(net, build_onnx(net, example, inputs="views", outputs=["logits"]))
