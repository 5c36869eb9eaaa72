"""`Ensemble`: several trained networks that answer as one."""

import torch
from torch import nn


class Ensemble(nn.Module):
    """The mean logit of networks that differ in their seed.

    Args:
        members: Two or more, each mapping (B, 1, H, W) to logits (B,).

    Source:
        Lakshminarayanan et al., Deep Ensembles, NeurIPS 2017, arXiv 1612.01474, with logits averaged in
        the place of probabilities, so that one temperature still calibrates the whole.
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        return torch.stack([member(images) for member in self.members]).mean(0)
