"""Networks by name, and several of them as one (deep ensemble)."""

import torch
from torch import nn

from pneumo_utils.config import expect
from pneumo_utils.models.backbone import TIMM_PREFIX, EfficientnetLite0Finetune, ResnetFinetune, TimmFinetune
from pneumo_utils.models.cnn import CnnBaseline

MODELS = {
    "cnn_baseline": CnnBaseline,
    "cnn_distilled": CnnBaseline,
    "resnet_finetune": ResnetFinetune,
    "resnet_distilled": ResnetFinetune,
    "efficientnet_lite0_finetune": EfficientnetLite0Finetune,
}


def build_model(name: str, *, dropout: float = 0.3) -> nn.Module:
    """A model with random weights; it maps normalised films (B, 1, H, W) to logits (B,).

    The name is a key of `MODELS`, or `timm_` and timm's name of a network; one that is unknown, or needs a
    package that is not installed, is a UsageError. `dropout` is the share of features blanked in training.
    """
    require_model(name)
    if name in MODELS:
        return MODELS[name](dropout=dropout)
    return TimmFinetune(name.removeprefix(TIMM_PREFIX), dropout=dropout)


def require_model(name: str) -> None:
    """Raises a UsageError if there is no model of that name."""
    expected = f"one of {', '.join(MODELS)}, or {TIMM_PREFIX}NAME of timm"
    expect(name in MODELS or name.startswith(TIMM_PREFIX), "The model", repr(name), expected)


class Ensemble(nn.Module):
    """The mean logit of two or more networks that differ in their seed; one temperature calibrates it.

    Source: Lakshminarayanan et al., Deep Ensembles, NeurIPS 2017, arXiv 1612.01474, of mean probabilities.
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        return torch.stack([member(images) for member in self.members]).mean(0)
