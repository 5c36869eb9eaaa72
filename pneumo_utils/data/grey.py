"""Colours and wide values to 256 levels of grey, a few rows at a time: no second image of full size."""

import numpy as np
from PIL import Image

from pneumo_utils.errors import ImageError

_STRIP_PIXELS = 1_000_000


def grey_from_pillow(image: Image.Image) -> np.ndarray:
    """uint8 (H, W): colour as its luma, transparent parts black, wide values stretched."""
    kind = {"F": np.float32, "I": np.int32}.get(
        image.mode, np.uint16 if image.mode.startswith("I") else np.uint8
    )
    values = np.empty((image.height, image.width), kind)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values[top : top + rows] = np.asarray(strip if kind is not np.uint8 else _to_luma(strip))
    return values if kind is np.uint8 else stretch(values)


def _to_luma(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    if image.mode not in ("L", "RGB"):  # CIELAB cannot go to grey at once
        image = image.convert("RGB")
    return image.convert("L")


def stretch(values: np.ndarray) -> np.ndarray:
    """uint8 of the same shape (H, W): the lowest value becomes 0, the highest 255; a single value 0.

    Raises:
        ImageError: A value is NaN or infinite.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):  # one NaN or infinity anywhere ends in this difference
        raise ImageError("The image has values that are not finite numbers; replace them before the export.")
    grey = np.empty(values.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // values.shape[1])
    for top in range(0, len(values), rows):
        strip = values[top : top + rows].astype(np.float64)
        grey[top : top + rows] = ((strip - low) / ((high - low) or 1.0) * 255).round()
    return grey
