"""What a WEBP asks for, looked at before Pillow opens it, for that makes room for all the pixels."""

from pneumo_utils.data.limits import SEVERAL, check_size
from pneumo_utils.errors import ImageError

MAX_WEBP_BYTES = 10_000_000  # Pillow reads 5 MB a second


def require_small_webp(data: bytes) -> None:
    """Raises ImageError for a WEBP that is animated, too large, too small, or long to read."""
    kind, at = data[12:16], 20
    if kind == b"VP8X":
        if data[at] & 2:
            raise ImageError(SEVERAL)
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (at + 4, at + 7))
    elif kind == b"VP8L":
        packed = int.from_bytes(data[at + 1 : at + 5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (at + 6, at + 8))
    check_size(height, width)
    if len(data) > MAX_WEBP_BYTES:
        raise ImageError("The WEBP image takes too long to read; export the film as PNG.")
