"""`resnet_finetune`: torchvision's ResNet-18 on grey films, with ImageNet weights where there are any."""

import socket
import sys
from contextlib import redirect_stdout

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from pneumo_utils.models.backbone import FinetunedBackbone

NETWORK_TIMEOUT_S = 10


class ResnetFinetune(FinetunedBackbone):
    """ResNet-18 with one grey input channel and one logit."""

    weights_hint = "the file of torchvision's ResNet-18, ResNet18_Weights.IMAGENET1K_V1"

    def __init__(self, dropout: float = 0.3):
        backbone = resnet18()
        backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        backbone.fc = nn.Identity()
        super().__init__(backbone, 512, dropout)

    def fetch_imagenet_state(self) -> dict[str, torch.Tensor] | None:
        """From torchvision's own download, which keeps what it has downloaded before."""
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(NETWORK_TIMEOUT_S)  # else it would hang behind a silent firewall
        try:
            with redirect_stdout(sys.stderr):  # where torch announces a download, with the cache's path
                return ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError):  # no network, refused, or a download that fails its checksum
            return None
        finally:
            socket.setdefaulttimeout(before)
