"""What is read at most. Every limit is held against a file's header, before its pixels are decoded."""

from pneumo_utils.errors import ImageError

MAX_BYTES = 100_000_000
MAX_PIXELS = 30_000_000  # a large digital film has 18 million; more could not be kept within 500 MB
MIN_SIDE = 16
UNREADABLE = "The data is damaged, cut short or of a rare kind; export the film anew."
SEVERAL = "The file holds several frames or pages; export the one film as PNG or JPEG."


def check_count(count: int, limit: int, unit: str) -> None:
    """Raises ImageError if there is more of something than is read."""
    if count > limit:
        raise ImageError(f"The image has {count:,} {unit}, at most {limit:,} are read; export it smaller.")


def check_size(height: int, width: int) -> None:
    """Raises ImageError if an image of this many pixels is too small or too large."""
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"The image is {width} x {height} pixels, sides need {MIN_SIDE}; export it larger.")
    check_count(height * width, MAX_PIXELS, "pixels")
