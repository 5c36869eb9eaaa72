"""Does a model bear films of another hospital? Nine ways in which these may differ, five severities each.

Severity 1 is hardly seen; 5 is clearly bad, yet one still sees what the film shows. Severities of different
corruptions are not equally bad: compare models along one curve, not curves of one model.

Source:
    Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261, for the idea and the scale of five. The strengths
    are chosen here, by what this data set and the training's augmentation hold and by looking at films.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation import film_changes
from pneumo_utils.evaluation.metrics import compute_metrics

SEVERITIES = (1, 2, 3, 4, 5)
CURVE_FIGURES = ("auroc", "sensitivity", "specificity")
BATCH_SIZE = 256
"""Films changed at once: at 224 px their noise takes 51 MB."""


@dataclass(frozen=True)
class Corruption:
    """One way in which films may differ.

    Attributes:
        strengths: Of severities 1 to 5, counted in `unit`.
        unit: What a strength counts, in words.
        change: Maps images, uint8 (N, H, W), a strength and a source of draws to new images of that shape.
    """

    strengths: tuple[float, ...]
    unit: str
    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


CORRUPTIONS: dict[str, Corruption] = {
    # The grain of a short exposure. Augmentation goes to 8 grey levels, stress validation to 13.
    "noise": Corruption((4, 8, 16, 25, 40), "grey levels, standard deviation", film_changes.add_noise),
    # 0.3 % are 0.7 of 224 pixels, little more than a resize does; 2.5 % wipe out vessels and fine ribs.
    "blur": Corruption((0.3, 0.6, 1.0, 1.6, 2.5), "% of the side, standard deviation", film_changes.blur),
    # Augmentation takes up to a third of the contrast; where 80 % are gone, some 50 grey levels are left.
    "contrast": Corruption((15, 30, 45, 60, 80), "% of the contrast lost", film_changes.lose_contrast),
    # Most films of this data set were saved at 75 or 95; from about 15 down the blocks of 8 pixels show.
    "jpeg": Corruption((60, 40, 25, 15, 7), "JPEG quality at 224 px", film_changes.compress),
    # Children lie askew by a few degrees; augmentation goes to 12, stress validation to 15.
    "rotation": Corruption((3, 6, 12, 18, 30), "degrees, to either side", film_changes.rotate),
    # The mean aspects of the two classes are 21 % apart in the archive; augmentation goes to 49 %.
    "stretch": Corruption((10, 20, 35, 50, 80), "% of change in the aspect", film_changes.change_aspect),
    # Augmentation cuts 9 % at each edge at most; 18 % leave two fifths of the film's area.
    "crop": Corruption((2, 5, 9, 13, 18), "% of the side lost at each edge", film_changes.crop),
    # As for crop, the other way: the film of a small child on a large plate.
    "border": Corruption((2, 5, 9, 13, 18), "% of the side black at each edge", film_changes.add_border),
    # Some archives keep negatives. 30 and 70 leave the same contrast, but at 70 the film is turned over.
    "inverted": Corruption((10, 20, 30, 70, 100), "% of the negative", film_changes.blend_with_negative),
}


def require_corruptions(names: Iterable[str], severities: Iterable[int]) -> None:
    """Refuses what `corrupt_films` does not know.

    Raises:
        UsageError: A name is no key of `CORRUPTIONS`, or a severity is not one of 1 to 5.
    """
    for name in names:
        if name not in CORRUPTIONS:
            raise UsageError(f"There is no corruption {name!r}; expected one of {', '.join(CORRUPTIONS)}.")
    for severity in severities:
        if severity not in SEVERITIES:
            raise UsageError(f"The severity is {severity}; expected a whole number, 1 to {len(SEVERITIES)}.")


def corrupt_films(images: np.ndarray, name: str, *, severity: int, seed: int = 0) -> np.ndarray:
    """Films changed in one way.

    Args:
        images: uint8 (N, H, W); they stay as they are.
        name: A key of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: Of the noise and of the sides that are drawn. What is drawn for a film depends on its place
            among the films, not on how many follow it, and is the same at each severity.

    Returns:
        uint8 (N, H, W).

    Raises:
        UsageError: The name or the severity is unknown.
    """
    require_corruptions([name], [severity])
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"images is {images.dtype} {images.shape}; expected uint8 (N, H, W).")
    corruption, rng = CORRUPTIONS[name], np.random.default_rng(seed)
    strength, corrupted = corruption.strengths[int(severity) - 1], np.empty_like(images)
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        corrupted[batch] = corruption.change(images[batch].copy(), strength, rng)
    return corrupted


def compute_corruption_curves(
    predict: Callable[[XrayDataset], np.ndarray],
    dataset: XrayDataset,
    *,
    threshold: float,
    names: Iterable[str] | None = None,
    severities: Iterable[int] = SEVERITIES,
    seed: int = 0,
) -> dict[str, list[dict]]:
    """The figures of a model as films get worse, one corruption at a time.

    Args:
        predict: Maps a data set to P(pneumonia), float (N,) in 0 to 1.
        dataset: N films, 1 or more.
        threshold: Call it pneumonia when prob >= threshold; the one chosen on films as they are.
        names: Keys of `CORRUPTIONS`; all if None.
        severities: Each 1 to 5.
        seed: Of the corruptions; the same one gives each model the same films.

    Returns:
        By corruption a list of {"severity", "strength", "auroc", "sensitivity", "specificity"}, plain values,
        in the order of `severities`. Each list begins with severity 0, the films as they are, whose strength
        is None. A figure is 0 to 1, or None where a class that it needs has no film.

    Raises:
        UsageError: A name or a severity is unknown.
        PneumoError: There is no film, or `predict` gives something else than probabilities.
    """
    names, severities = list(CORRUPTIONS if names is None else names), list(severities)
    require_corruptions(names, severities)

    def judge(films: XrayDataset) -> dict:
        figures = compute_metrics(films.labels, predict(films), threshold=threshold)
        return {figure: figures[figure] for figure in CURVE_FIGURES}

    plain = judge(dataset)
    curves = {name: [{"severity": 0, "strength": None, **plain}] for name in names}
    for name, severity in product(curves, severities):
        films = replace(dataset, images=corrupt_films(dataset.images, name, severity=severity, seed=seed))
        strength = CORRUPTIONS[name].strengths[int(severity) - 1]
        curves[name].append({"severity": int(severity), "strength": strength, **judge(films)})
    return curves
