"""Corruption robustness: how metrics fall as images (films) get worse in nine ways, and under a stretch."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import correlate1d
from scipy.special import ive
from sklearn.metrics import roc_auc_score

from pneumo_utils.config import expect
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.images import load_image
from pneumo_utils.evaluation.metrics import Predict, compute_metrics

STRETCHES = {"wider": {"width": 1.2}, "narrower": {"width": 1 / 1.2}}
STRETCHES |= {"taller": {"height": 1.2}, "flatter": {"height": 1 / 1.2}}
JPEG_SIDE = 224  # pixels at which any film is compressed: a block of 8 is then 1/28 of it
BILINEAR = Image.Resampling.BILINEAR
SEVERITIES = (1, 2, 3, 4, 5)
CURVE_FIGURES = ("auroc", "sensitivity", "specificity")
BATCH_SIZE = 256  # films changed at once: at 224 px their noise takes 51 MB


def stretch_films(images: np.ndarray, *, width: float = 1.0, height: float = 1.0) -> np.ndarray:
    """Films, uint8 (N, H, W), made wider or higher in the same frame; what is bared takes the edge."""
    theta = torch.tensor([[1 / width, 0.0, 0.0], [0.0, 1 / height, 0.0]])
    stretched = np.empty_like(images)
    for start in range(0, len(images), BATCH_SIZE):
        levels = torch.from_numpy(images[start : start + BATCH_SIZE]).unsqueeze(1).float()
        grid = F.affine_grid(theta.expand(len(levels), 2, 3), list(levels.shape), align_corners=False)
        levels = F.grid_sample(levels, grid, padding_mode="border", align_corners=False)
        stretched[start : start + BATCH_SIZE] = levels[:, 0].round().clamp(0, 255).byte().numpy()
    return stretched


def compute_stretch_losses(predict: Predict, dataset: XrayDataset) -> dict[str, float] | None:
    """AUROC on films as they are minus AUROC after each of `STRETCHES`, by name; None for a single class."""
    if len(np.unique(dataset.labels)) < 2:
        return None
    before, losses = roc_auc_score(dataset.labels, predict(dataset)), {}
    for name, factor in STRETCHES.items():
        films = replace(dataset, images=stretch_films(dataset.images, **factor))
        losses[name] = float(before - roc_auc_score(dataset.labels, predict(films)))
    return losses


# The nine changes: images, uint8 (N, H, W), a strength and a source of draws to new images of that shape.


def add_noise(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with a standard deviation of `strength` grey levels, each pixel's own."""
    return _round_levels(images + strength * rng.standard_normal(images.shape, dtype=np.float32))


def blur(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur with a standard deviation of `strength` % of height and width; edges are continued.

    Source: Lindeberg, IEEE Transactions on Pattern Analysis and Machine Intelligence 12, 1990: the Gaussian
    of whole pixels, whose variance is also right below a pixel. Samples of the usual one, as torchvision and
    SciPy take them, fade away there: 0.3 % of 64 pixels would change no grey level.
    """
    levels = images.astype(np.float32)
    for axis in (1, 2):
        sigma = strength / 100 * images.shape[axis]
        radius = math.ceil(4 * sigma) + 1  # beyond, less than a thousandth of the weight
        kernel = ive(np.arange(-radius, radius + 1), sigma**2)
        levels = correlate1d(levels, kernel / kernel.sum(), axis=axis, mode="nearest")
    return _round_levels(levels)


def lose_contrast(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Grey levels `strength` % nearer to the film's own mean, which stays what it is."""
    means = images.mean((1, 2), keepdims=True, dtype=np.float64)
    return _round_levels(means + (1 - strength / 100) * (images - means))


def compress(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """JPEG compression at quality `strength`, a whole number of 1 to 100, of the film at 224 px.

    Other films are resized for it; only what it changes is brought back and added: resizing blurs nothing.
    """
    compressed = np.empty_like(images)
    for film, place in zip(images, compressed, strict=True):
        plain, file = Image.fromarray(film).resize((JPEG_SIDE, JPEG_SIDE)), io.BytesIO()  # bicubic
        plain.save(file, "JPEG", quality=int(strength))
        error = np.asarray(Image.open(file), np.float32) - np.asarray(plain, np.float32)
        place[:] = _round_levels(film + np.asarray(Image.fromarray(error).resize(film.shape[::-1], BILINEAR)))
    return compressed


def rotate(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Turned about the centre by `strength` degrees, to a side drawn for each film; black where bared."""
    angles = np.where(rng.random(len(images)) < 0.5, strength, -strength)
    films = zip(images, angles, strict=True)
    return np.stack([np.asarray(Image.fromarray(film).rotate(angle, BILINEAR)) for film, angle in films])


def change_aspect(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Width over height, or height over width as drawn for each film, `strength` % larger, the area kept."""
    wide, root = rng.random(len(images)) < 0.5, math.sqrt(1 + strength / 100)
    changed = np.empty_like(images)
    changed[wide] = stretch_films(images[wide], width=root, height=1 / root)
    changed[~wide] = stretch_films(images[~wide], width=1 / root, height=root)
    return changed


def crop(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The middle of the film fills the frame; `strength` %, below 50, of the side are lost at each edge."""
    zoom = 1 / (1 - 2 * strength / 100)
    return stretch_films(images, width=zoom, height=zoom)


def add_border(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The whole film, smaller, in a black frame of `strength` % of the side at each edge, to the pixel."""
    framed = np.zeros_like(images)
    top, left = (round(strength / 100 * side) for side in images.shape[1:])
    inside = framed[:, top : images.shape[1] - top, left : images.shape[2] - left]
    for film, place in zip(images, inside, strict=True):
        place[:] = np.asarray(Image.fromarray(film).resize(place.shape[::-1], BILINEAR))
    return framed


def blend_with_negative(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Mixed with `strength` % of its negative: at 50 all is one grey, at 100 black has become white."""
    share = strength / 100
    return _round_levels((1 - share) * images.astype(np.float64) + share * (255 - images))


def _round_levels(levels: np.ndarray) -> np.ndarray:
    return np.rint(levels).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Corruption:
    """One way in which films may differ: the strengths of severities 1 to 5, their unit, and the change."""

    strengths: tuple[float, ...]
    unit: str
    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


CORRUPTIONS: dict[str, Corruption] = {
    # The grain of a short exposure. Augmentation goes to 8 grey levels, stress validation to 13.
    "noise": Corruption((4, 8, 16, 25, 40), "grey levels, standard deviation", add_noise),
    # 0.3 % are 0.7 of 224 pixels, little more than a resize does; 2.5 % wipe out vessels and fine ribs.
    "blur": Corruption((0.3, 0.6, 1.0, 1.6, 2.5), "% of the side, standard deviation", blur),
    # Augmentation takes up to a third of the contrast; where 80 % are gone, some 50 grey levels are left.
    "contrast": Corruption((15, 30, 45, 60, 80), "% of the contrast lost", lose_contrast),
    # Most films of this data set were saved at 75 or 95; from about 15 down the blocks of 8 pixels show.
    "jpeg": Corruption((60, 40, 25, 15, 7), "JPEG quality at 224 px", compress),
    # Children lie askew by a few degrees; augmentation goes to 12, stress validation to 15.
    "rotation": Corruption((3, 6, 12, 18, 30), "degrees, to either side", rotate),
    # The mean aspects of the two classes are 21 % apart in the archive; augmentation goes to 49 %.
    "stretch": Corruption((10, 20, 35, 50, 80), "% of change in the aspect", change_aspect),
    # Augmentation cuts 9 % at each edge at most; 18 % leave two fifths of the film's area.
    "crop": Corruption((2, 5, 9, 13, 18), "% of the side lost at each edge", crop),
    # As for crop, the other way: the film of a small child on a large plate.
    "border": Corruption((2, 5, 9, 13, 18), "% of the side black at each edge", add_border),
    # Some archives keep negatives. 30 and 70 leave the same contrast, but at 70 the film is turned over.
    "inverted": Corruption((10, 20, 30, 70, 100), "% of the negative", blend_with_negative),
}


def get_strength(name: str, severity: int) -> float:
    """How strong a corruption is; a UsageError where the name or the severity, 1 to 5, is unknown."""
    expect(name in CORRUPTIONS, "The corruption", repr(name), f"one of {', '.join(CORRUPTIONS)}")
    expect(severity in SEVERITIES, "The severity", severity, f"a whole number, 1 to {len(SEVERITIES)}")
    return CORRUPTIONS[name].strengths[SEVERITIES.index(severity)]


def corrupt_films(images: np.ndarray, name: str, *, severity: int, seed: int = 0) -> np.ndarray:
    """New films, uint8 (N, H, W), changed in one way of `CORRUPTIONS`; raises as `get_strength`.

    What is drawn for a film depends on the seed and its place among the films, not on how many follow it, and
    is the same at each severity.
    """
    strength = get_strength(name, severity)
    rng, corrupted = np.random.default_rng(seed), np.empty_like(images)
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        corrupted[batch] = CORRUPTIONS[name].change(images[batch].copy(), strength, rng)
    return corrupted


def _read_again(dataset: XrayDataset, images: np.ndarray) -> XrayDataset:
    """Changed films, uint8 (N, H, W), as they would be read from files of their own."""
    if dataset.preset == "percentile":
        reading: dict = {"image_size": dataset.image_size, "preset": dataset.preset}
        images = np.stack([load_image(image, **reading) for image in images])
    return replace(dataset, images=images)


def compute_corruption_curves(
    predict: Predict, dataset: XrayDataset, *, threshold: float, severities: Sequence[int] = SEVERITIES
) -> dict[str, list[dict]]:
    """The metrics of a model as films get worse, one corruption at a time; all models see the same films.

    By corruption a list of {"severity", "strength", "auroc", "sensitivity", "specificity"}, plain values, in
    the order of `severities`. Each list begins with severity 0, the films as they are, whose strength is
    None. A metric is 0 to 1, or None where a class that it needs has no film.
    """
    asked = [(name, s, get_strength(name, s)) for name in CORRUPTIONS for s in severities]

    def judge(films: XrayDataset) -> dict:
        metrics = compute_metrics(films.labels, predict(films), threshold=threshold)
        return {name: metrics[name] for name in CURVE_FIGURES}

    plain = {"severity": 0, "strength": None, **judge(dataset)}
    curves = {name: [plain] for name in CORRUPTIONS}
    for name, severity, strength in asked:
        films = _read_again(dataset, corrupt_films(dataset.images, name, severity=severity))
        curves[name].append({"severity": int(severity), "strength": strength, **judge(films)})
    return curves
