"""Transfer learning: what every network with a pretrained backbone shares, grey film in, logit out."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import nn

from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.models.checkpoint import load_tensors


class FinetunedBackbone(nn.Module, ABC):
    """A backbone from elsewhere, dropout and a head of one logit.

    Args:
        backbone: Maps (B, 1, H, W) to features (B, num_features).
        num_features: Features of the backbone.
        dropout: As for `build_model`.
    """

    weights_hint = "a PyTorch state dict of the same network"
    """What a file of ImageNet weights should be, in words for a message."""

    def __init__(self, backbone: nn.Module, num_features: int, dropout: float):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        return self.classify(self.backbone(images))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for features of the backbone (B, num_features)."""
        return self.head(self.dropout(features)).squeeze(1)

    @property
    def blocks(self) -> list[nn.Module]:
        """The backbone's parts that have weights, from the film to the head; sequences are opened up."""
        parts = []
        for child in self.backbone.children():
            parts += child.children() if isinstance(child, (nn.Sequential, nn.ModuleList)) else [child]
        return [part for part in parts if next(part.parameters(), None) is not None]

    @abstractmethod
    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """The published ImageNet weights, of the network for colour images, by the backbone's names.

        None where they cannot be fetched.
        """

    def load_imagenet_state(self, weights_path: Path | None = None) -> dict[str, torch.Tensor] | None:
        """ImageNet weights from a file of a state dict; without one, as `fetch_imagenet_state` gives them.

        Raises:
            PneumoError: The file cannot be read.
        """
        if weights_path is None:
            return self.fetch_imagenet_state()
        try:
            state = load_tensors(weights_path)
            if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
                raise ValueError("it is not a dict of tensors")
            return self.rename_imagenet_state(state)
        except Exception as error:  # a foreign file can fail in any way; the message names it
            raise PneumoError(
                f"{weights_path} cannot be read as weights ({first_line(error)}). "
                f"Expected {self.weights_hint}."
            ) from error

    def rename_imagenet_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A published state dict under the backbone's own names; here, they are the same."""
        return state

    def use_imagenet_state(self, state: dict[str, torch.Tensor]) -> None:
        """Takes over the backbone of a network for colour images; its classifier is left out.

        Adding the filters of the three colour channels up gives what the colour network would see in a
        grey film, but for the small differences between the channels' normalisation constants.

        Raises:
            PneumoError: The tensors are not those of this network.
        """
        own = self.backbone.state_dict()
        state = {name: value for name, value in state.items() if not name.startswith(("fc.", "classifier."))}
        for name, value in state.items():
            if name in own and value.ndim == 4 and value.shape[1] == 3 and own[name].shape[1] == 1:
                state[name] = value.sum(1, keepdim=True)
        try:
            self.backbone.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise PneumoError(
                f"The weights do not fit {type(self.backbone).__name__} ({reason}). "
                f"Expected {self.weights_hint}."
            ) from error


def list_blocks(model: nn.Module) -> list[nn.Module]:
    """The parts of a model below its head, from the film up; a network without a backbone is one part."""
    return model.blocks if hasattr(model, "blocks") else [model.features]
