"""`resnet_finetune`: torchvision's ResNet-18 on grey films, with ImageNet weights where there are any."""

import socket
import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.models.tensors import load_tensors

NETWORK_TIMEOUT_S = 10


class ResnetFinetune(nn.Module):
    """ResNet-18 with one grey input channel and one logit.

    Args:
        dropout: Share of the pooled features blanked in training, 0 to below 1.
    """

    def __init__(self, dropout: float = 0.2):
        super().__init__()
        self.backbone = resnet18()
        self.backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.backbone.fc = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(512, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        return self.head(self.dropout(self.backbone(images))).squeeze(1)

    def load_imagenet_weights(self, state: dict[str, torch.Tensor]) -> None:
        """Takes over the backbone of torchvision's ResNet-18.

        Adding the filters of the three colour channels up gives what the colour network would see in a
        grey film, but for the small differences between the channels' normalisation constants.

        Args:
            state: torchvision's state dict; its classifier is left out.

        Raises:
            PneumoError: The tensors are not those of a ResNet-18.
        """
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        if "conv1.weight" in state:
            state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
        try:
            self.backbone.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise PneumoError(
                f"The weights are not those of torchvision's ResNet-18 ({reason}). "
                "Expected the file that torchvision.models.ResNet18_Weights.IMAGENET1K_V1 downloads."
            ) from error


def load_imagenet_state(weights_path: Path | None = None) -> dict[str, torch.Tensor] | None:
    """ImageNet weights of ResNet-18 from a file, or from torchvision's own download.

    Args:
        weights_path: A file as torchvision downloads it; None asks torchvision, which keeps what it
            has downloaded before.

    Returns:
        The state dict; None where torchvision cannot fetch it.

    Raises:
        PneumoError: The file that was named cannot be read.
    """
    if weights_path is None:
        try:
            # torch announces a download, with the cache's full path, on standard output.
            with _socket_timeout(NETWORK_TIMEOUT_S), redirect_stdout(sys.stderr):
                return ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError):  # no network, refused, or a download that fails its checksum
            return None
    try:
        return load_tensors(weights_path)
    except Exception as error:  # a foreign file can fail in any way; the message names it
        raise PneumoError(
            f"{weights_path} cannot be read as weights ({first_line(error)}). Expected a "
            "PyTorch state dict, such as torchvision's resnet18-f37072fd.pth."
        ) from error


@contextmanager
def _socket_timeout(seconds: float):
    """torchvision's download has no time-out of its own and would hang behind a silent firewall."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
