"""Chest X-ray phantoms: drawn, labelled films for tests, demonstrations and machines without data.

A phantom is a sum of densities (soft tissue, bone, less where there is air) seen through a film. Pneumonia
fills air, so an opacity shows only inside a lung. Nothing measured on phantoms says anything about patients.
"""

from types import SimpleNamespace

import numpy as np

from pneumo_utils.data.dataset import SPLITS, XrayDataset
from pneumo_utils.data.phantom import Patient, draw_film
from pneumo_utils.errors import UsageError

PNEUMONIA_SHARE = 0.6
"""Share of patients with pneumonia, in every split."""
BACTERIAL_SHARE = 0.6
"""Share of the patients with pneumonia whose opacities are focal."""
MAX_FILMS_PER_PATIENT = 3
MIN_FILMS = 8
"""The fewest films that are sure to hold both classes: three patients, see `_draw_patient`."""

# Drawn once a patient, uniformly. The confounders are drawn alike for both classes; the wider they vary,
# the harder the task.
ANATOMY = {
    "lung_width": (0.29, 0.36),
    "lung_height": (0.80, 0.94),
    "dome": (0.12, 0.24),  # height of the diaphragm's domes
    "base": (0.56, 0.70),  # y of the diaphragm's edge in full inspiration
    "heart": (0.85, 1.20),
    "mediastinum": (0.10, 0.15),
    "thymus": (0.0, 0.13),  # confounder: widens the upper mediastinum, as in infants
    "body": (0.91, 1.03),
    "rib_gap": (0.145, 0.185),
    "rib_phase": (0.0, 1.0),
    "rib_slope": (0.22, 0.40),
    "bone": (0.05, 0.13),
    "clavicle": (-0.58, -0.48),  # y of the collar bones at the breast bone
    "vessels": (0.05, 0.20),  # confounder: looks like a viral pattern where strong
    "veil": (0.0, 0.28),  # confounder: haze over all lung, from fat or a short exposure
    "breast": (0.0, 0.22),  # confounder: bright lower lung fields
    "nipple": (0.0, 0.25),  # confounder: a small round shadow
    "gas": (0.0, 0.25),  # the stomach's bubble below the left dome
    "scapula": (0.0, 0.10),  # confounder: bright upper outer lung
}
# Drawn once a film: how the patient stood, breathed in and was exposed.
FILM = {
    "turn_deg": (-8.0, 8.0),
    "zoom": (0.86, 1.18),
    "stretch": (0.90, 1.10),
    "shift_x": (-0.13, 0.13),
    "shift_y": (-0.13, 0.13),
    "inspiration": (-0.10, 0.03),
    "level": (0.40, 0.56),  # mean grey
    "contrast": (0.18, 0.25),  # standard deviation of grey
    "gamma": (0.85, 1.18),
    "noise": (0.01, 0.035),
    "course": (0.85, 1.15),  # opacities wax and wane between the films of one patient
}
FOCAL_STRENGTH = (0.30, 0.80)
"""Share of the air that the centre of a bacterial opacity fills."""
DIFFUSE_STRENGTH = (0.28, 0.62)
"""Share of the air that the densest strands of a viral pattern fill."""


def make_phantoms(
    num_films: int, *, image_size: int = 64, split: str = "train", seed: int = 0
) -> XrayDataset:
    """Draws labelled films; on one machine the same arguments give the same bytes.

    Args:
        num_films: Films to draw, 8 to 1000000; 8 are sure to hold both classes. Film i is the same film
            however many are drawn.
        image_size: Height and width, pixels, 32 to 512. The size does not change what is drawn.
        split: "train", "val" or "test"; no two splits share a patient.
        seed: 0 to 4294967295.

    Returns:
        The films in order of patient, 1 to 3 a patient, source "synthetic".

    Raises:
        UsageError: An argument is out of its range.
    """
    _check(num_films, image_size=image_size, split=split, seed=seed)
    rows, images = [], np.empty((num_films, image_size, image_size), np.uint8)
    index = 0
    while len(rows) < num_films:
        patient = _draw_patient(index, split=split, seed=seed)
        for film in range(1, min(patient.num_films, num_films - len(rows)) + 1):
            rng = _rng(seed, split, index, film)
            images[len(rows)] = draw_film(patient, _draw(FILM, rng), image_size=image_size, rng=rng)
            name = f"synthetic-{patient.key}-{film}.png"
            rows.append((patient.subtype != "normal", patient.key, patient.subtype, name))
        index += 1
    labels, patients, subtypes, names = (np.array(column) for column in zip(*rows, strict=True))
    return XrayDataset(images, labels.astype(np.int64), patients, subtypes, names, "synthetic", split)


def _check(num_films: int, *, image_size: int, split: str, seed: int) -> None:
    for name, value, low, high in (
        ("num_films", num_films, MIN_FILMS, 10**6),
        ("image_size", image_size, 32, 512),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}; expected {low} to {high}.")
    if split not in SPLITS:
        raise UsageError(f"split is {split!r}; expected one of {', '.join(SPLITS)}.")


def _rng(seed: int, split: str, patient: int, film: int) -> np.random.Generator:
    return np.random.default_rng((seed, SPLITS.index(split), patient, film))


def _draw(ranges: dict, rng: np.random.Generator) -> SimpleNamespace:
    return SimpleNamespace(**{name: rng.uniform(*limits) for name, limits in ranges.items()})


def _draw_patient(index: int, *, split: str, seed: int) -> Patient:
    # Steps of the share round a circle, from a random start: of any three patients in a row one at least
    # is normal and one at least is not, whatever the seed.
    start = _rng(seed, split, 2**32 - 1, 0).random()
    is_pneumonia = (start + PNEUMONIA_SHARE * index) % 1 < PNEUMONIA_SHARE
    rng = _rng(seed, split, index, 0)
    num_films = int(rng.integers(1, MAX_FILMS_PER_PATIENT + 1))
    anatomy = _draw(ANATOMY, rng)
    anatomy.nipple_side = int(rng.choice((-1, 1)))
    anatomy.branch = rng.uniform(0, 2 * np.pi, 3).tolist()
    texture = rng.random((32, 32)).astype(np.float32)
    subtype = "normal" if not is_pneumonia else "bacterial" if rng.random() < BACTERIAL_SHARE else "viral"
    return Patient(f"{split}-{index:04d}", subtype, num_films, anatomy, texture, _draw_spots(subtype, rng))


def _draw_spots(subtype: str, rng: np.random.Generator) -> np.ndarray:
    if subtype == "normal":
        return np.zeros((0, 4))
    if subtype == "viral":  # one wide cloud about each hilum
        side, strength = np.array([-1.0, 1.0]), rng.uniform(*DIFFUSE_STRENGTH)
        return np.stack([side * 0.30, rng.uniform(-0.1, 0.3, 2), rng.uniform(0.4, 0.6, 2), [strength] * 2], 1)
    count = int(rng.integers(1, 3))
    side = rng.choice((-1, 1))  # both in one lung
    x = side * rng.uniform(0.28, 0.52, count)
    y = rng.uniform(-0.40, 0.10 if side > 0 else 0.35, count)  # the heart hides the lower left lung
    return np.stack([x, y, rng.uniform(0.10, 0.20, count), rng.uniform(*FOCAL_STRENGTH, count)], 1)
