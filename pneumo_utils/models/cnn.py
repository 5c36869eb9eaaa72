"""`cnn_baseline`: a plain convolutional network, small enough to train on two cores in minutes."""

import torch
from torch import nn


def conv_block(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU.

    Args:
        in_channels: C of the input (B, C, H, W).
        out_channels: C of the output.
        stride: 2 halves H and W, 1 keeps them.
    """
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class CnnBaseline(nn.Module):
    """Stages of two convolution blocks, the first of each halving height and width.

    Args:
        widths: Channels of each stage.
        dropout: Share of the pooled features blanked in training, 0 to below 1.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128, 256), dropout: float = 0.3):
        super().__init__()
        blocks, channels = [], 1
        for width in widths:
            blocks += [conv_block(channels, width, stride=2), conv_block(width, width)]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of pneumonia, float (B,), for normalised films (B, 1, H, W)."""
        features = self.pool(self.features(images)).flatten(1)
        return self.head(self.dropout(features)).squeeze(1)
