"""The words of a DICOM image become grey levels, as a viewer would show them: PS3.3, C.7.6.3 and C.11."""

import numpy as np

from pneumo_utils.data.images import STRIP_PIXELS, UNREADABLE, find_ends, to_grey
from pneumo_utils.errors import ImageError

LEVEL_TEXTS = ("PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
               "VOILUTFunction", "PresentationLUTShape")  # fmt: skip
LEVEL_VALUES = (
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "ModalityLUTSequence", "VOILUTSequence",
)  # fmt: skip
_GREY = ("", "MONOCHROME1", "MONOCHROME2")
_COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


def to_levels(words: np.ndarray, tags: dict) -> np.ndarray:
    """uint8 (H, W) of the words, (H, W) or (H, W, 3); `tags` as `dicom` reads them.

    Grey is rescaled and seen through the first window that makes sense, else through the film's lookup
    table, and turned round where the file says that its lowest value is white. If neither shows anything,
    8 bits are kept and more are stretched between the ends that `find_ends` gives. Padding is black.

    Raises ImageError if the colours are of a rare kind, or a number that is needed makes no sense.
    """
    kind = tags["PhotometricInterpretation"]
    if kind in _COLOUR:
        return to_grey(words)
    if words.ndim == 3 or kind not in _GREY:
        raise ImageError("The DICOM image has colours of a rare kind; export the film as PNG.")
    return _build_table(words, tags)[words]


def _build_table(words: np.ndarray, tags: dict) -> np.ndarray:
    """uint8 (256,) or (65536,): the grey level of each word."""
    stored = _to_values(np.arange(256**words.dtype.itemsize), tags)
    is_padding, values = _find_padding(stored, tags), _rescale(stored, tags)
    if not np.isfinite(values).all():
        raise ImageError(UNREADABLE)
    is_film = (np.bincount(words.reshape(-1), minlength=len(values)) > 0) & ~is_padding
    for look in (_look_through_window, _look_through_table):
        levels = look(values, tags)
        if levels is not None and len(np.unique(levels[is_film].clip(0, 1))) > 1:
            break  # else nothing of the film could be seen
    else:
        low, high = values.min(), values.max()
        if tags["BitsStored"] > 8 and is_film.any():
            some = words.reshape(-1)[:: 1 + words.size // STRIP_PIXELS]
            low, high = find_ends(values[is_film], sample=values[some[~is_padding[some]]])
        levels = (values - low) / ((high - low) or 1.0)
    levels = np.clip(levels, 0, 1)
    if tags["PhotometricInterpretation"] == "MONOCHROME1" or tags["PresentationLUTShape"] == "INVERSE":
        levels = 1 - levels
    return np.where(is_padding, 0, (levels * 255).round()).astype(np.uint8)


def _to_values(words: np.ndarray, tags: dict) -> np.ndarray:
    """The number that each word stands for: its stored bits, signed or not."""
    bits = tags["BitsStored"]
    # The stored bits may lie above others, such as an overlay's.
    shift = max(0, (tags["HighBit"] or 0) + 1 - bits)
    values = (words.astype(np.int64) >> shift) & (2**bits - 1)
    is_negative = (tags["PixelRepresentation"] == 1) & (values >= 2 ** (bits - 1))
    return np.where(is_negative, values - 2**bits, values)


def _find_padding(stored: np.ndarray, tags: dict) -> np.ndarray:
    """Where a value only fills the frame around the film, PS3.3 C.7.5.1.1.2."""
    first, last = tags["PixelPaddingValue"], tags["PixelPaddingRangeLimit"]
    if not isinstance(first, int):
        return np.zeros(len(stored), bool)
    ends = [first, last if isinstance(last, int) else first]
    if tags["PixelRepresentation"] == 1:  # they may be written without their sign
        ends = [end - 2 ** tags["BitsAllocated"] * (end >= 2 ** (tags["BitsAllocated"] - 1)) for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def _rescale(stored: np.ndarray, tags: dict) -> np.ndarray:
    if tags["ModalityLUTSequence"]:
        return _look_up(stored, tags["ModalityLUTSequence"][0], tags)
    slope, intercept = parse_number(tags["RescaleSlope"]), parse_number(tags["RescaleIntercept"])
    return stored * (slope or 1.0) + (intercept or 0.0)


def _look_through_window(values: np.ndarray, tags: dict) -> np.ndarray | None:
    """0 to 1 as PS3.3 C.11.2.1.2 and C.11.2.1.3 say; None without a window that makes sense."""
    pairs = zip(tags["WindowCenter"].split("\\"), tags["WindowWidth"].split("\\"), strict=False)
    numbers = ((parse_number(center), parse_number(width)) for center, width in pairs)
    window = next(((c, w) for c, w in numbers if c is not None and w is not None and w > 0), None)
    if window is None:
        return None
    center, width = window
    if tags["VOILUTFunction"] == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if tags["VOILUTFunction"] == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width <= 1:
        return (values > center - 0.5).astype(float)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _look_through_table(values: np.ndarray, tags: dict) -> np.ndarray | None:
    """0 to 1 by the film's lookup table, if any; its descriptor may claim more bits than the entries use."""
    if not tags["VOILUTSequence"]:
        return None
    entries = _look_up(values, tags["VOILUTSequence"][0], tags)
    return entries / max(1, 2 ** int(entries.max()).bit_length() - 1)


def _look_up(values: np.ndarray, item, tags: dict) -> np.ndarray:
    """The entries for the values, the ends for those outside, PS3.3 C.11.1.1 and C.11.2.1.1.

    Entries of 8 bits take a byte or a word each; pydicom's `apply_voi` takes them as words always.
    """
    order, data = ">" if tags["IsBig"] else "<", item.get_item("LUTData").value
    count, first, _ = np.frombuffer(item.get_item("LUTDescriptor").value, f"{order}u2", 3).tolist()
    if tags["PixelRepresentation"] == 1 and first >= 2**15:
        first -= 2**16
    count = count or 2**16
    entries = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else "u1")[:count].astype(float)
    return entries[np.clip(values - first, 0, len(entries) - 1).astype(int)]


def parse_number(text: str) -> float | None:
    """The first of several numbers, with a decimal point or comma; None where there is none."""
    for part in text.split("\\"):
        try:
            number = float(part.replace(",", "."))
        except ValueError:
            continue
        if np.isfinite(number):
            return number
    return None
