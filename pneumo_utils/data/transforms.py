"""From grey levels to the network's input: whole batches of tensors, on whatever device these are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# The mean over the three colour channels of the statistics that ImageNet models were trained with
# (torchvision's presets: mean .485 .456 .406, standard deviation .229 .224 .225).
GREY_MEAN, GREY_STD = 0.449, 0.226


@dataclass(frozen=True)
class EvalTransform:
    """The fixed way from a film to the network's input; all who answer use the checkpoint's own."""

    image_size: int  # height and width of the input, pixels
    name: str = "grey"
    mean: float = GREY_MEAN  # subtracted from grey levels in 0 to 1
    std: float = GREY_STD  # divides them afterwards, above 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W) to float32 (B, 1, S, S), about -2 to 2.4; S is `image_size`."""
        return self.normalise(self.to_grey_levels(images))

    def to_grey_levels(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W) to float32 (B, 1, S, S) in 0 to 1, resized where the size differs."""
        levels = images.unsqueeze(1).float().div_(255)
        size = (self.image_size, self.image_size)
        if levels.shape[-2:] != size:
            import torch.nn.functional as F

            levels = F.interpolate(levels, size, mode="bilinear", antialias=True, align_corners=False)
        return levels

    def normalise(self, levels):
        """Grey levels in 0 to 1, a tensor or an array of any shape, to the network's range."""
        return (levels - self.mean) / self.std
