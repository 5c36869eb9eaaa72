"""Chest X-ray phantoms: drawn, labelled films for tests, demonstrations and machines without data.

A phantom is a sum of densities (soft tissue, bone, less where there is air) seen through a film. Pneumonia
fills air, so an opacity shows only inside a lung. Nothing measured on phantoms says anything about patients.
"""

import math
from types import SimpleNamespace

import numpy as np

from pneumo_utils.config import SPLITS, expect
from pneumo_utils.data.dataset import XrayDataset

PNEUMONIA_SHARE = 0.6  # of the patients, in every split
BACTERIAL_SHARE = 0.6  # of the patients with pneumonia; their opacities are focal
MAX_FILMS_PER_PATIENT = 3
MIN_FILMS = 8  # the fewest that are sure to hold both classes: three patients, see `_draw_patient`
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
FOCAL_STRENGTH = (0.30, 0.80)  # share of the air that the centre of a bacterial opacity fills
DIFFUSE_STRENGTH = (0.28, 0.62)  # share of the air that the densest strands of a viral pattern fill


def make_phantoms(
    num_films: int, *, image_size: int = 64, split: str = "train", seed: int = 0
) -> XrayDataset:
    """Draws labelled films, 1 to 3 a patient; on one machine the same arguments give the same bytes.

    8 to 1000000 films, of which 8 are sure to hold both classes, of 32 to 512 pixels a side. Film i is the
    same however many are drawn, the size does not change what is drawn, and no two splits share a patient.
    The seed is 0 to 4294967295. What is out of its range raises UsageError.
    """
    expect(MIN_FILMS <= num_films <= 10**6, "num_films", num_films, f"{MIN_FILMS} to 1000000")
    expect(32 <= image_size <= 512, "image_size", image_size, "32 to 512")
    expect(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    expect(split in SPLITS, "split", repr(split), f"one of {', '.join(SPLITS)}")
    rows: list[tuple] = []
    index, images = 0, np.empty((num_films, image_size, image_size), np.uint8)
    while len(rows) < num_films:
        patient = _draw_patient(index, split=split, seed=seed)
        for film in range(1, min(patient.num_films, num_films - len(rows)) + 1):
            rng = _rng(seed, split, index, film)
            images[len(rows)] = _draw_film(patient, image_size=image_size, rng=rng)
            name = f"synthetic-{patient.key}-{film}.png"
            rows.append((patient.subtype != "normal", patient.key, patient.subtype, name))
        index += 1
    labels, patients, subtypes, names = (np.array(column) for column in zip(*rows, strict=True))
    return XrayDataset(images, labels.astype(np.int64), patients, subtypes, names, "synthetic", split)


def _rng(seed: int, split: str, patient: int, film: int) -> np.random.Generator:
    return np.random.default_rng((seed, SPLITS.index(split), patient, film))


def _draw(ranges: dict, rng: np.random.Generator) -> SimpleNamespace:
    return SimpleNamespace(**{name: rng.uniform(*limits) for name, limits in ranges.items()})


def _draw_patient(index: int, *, split: str, seed: int) -> SimpleNamespace:
    """Who is drawn: a value for each name in `ANATOMY`, and what fills the air."""
    # Steps of the share round a circle, from a random start: of any three patients in a row one at least
    # is normal and one at least is not, whatever the seed.
    start = _rng(seed, split, 2**32 - 1, 0).random()
    is_pneumonia = (start + PNEUMONIA_SHARE * index) % 1 < PNEUMONIA_SHARE
    rng = _rng(seed, split, index, 0)
    num_films = int(rng.integers(1, MAX_FILMS_PER_PATIENT + 1))
    patient = _draw(ANATOMY, rng)
    patient.key, patient.num_films = f"{split}-{index:04d}", num_films
    patient.nipple_side = int(rng.choice((-1, 1)))
    patient.branch = rng.uniform(0, 2 * np.pi, 3).tolist()
    patient.texture = rng.random((32, 32)).astype(np.float32)  # that strands and fluff are cut from
    subtype = "normal" if not is_pneumonia else "bacterial" if rng.random() < BACTERIAL_SHARE else "viral"
    patient.subtype, patient.spots = subtype, _draw_spots(subtype, rng)
    return patient


def _draw_spots(subtype: str, rng: np.random.Generator) -> np.ndarray:
    """x, y, radius and strength of each opacity, float (K, 4); K is 0 if normal."""
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


def _draw_film(patient: SimpleNamespace, *, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """One film of a patient, uint8 (image_size, image_size)."""
    film = _draw(FILM, rng)
    # Below 64 pixels ribs are narrower than a pixel: draw at twice the size and average, against moire.
    factor = 2 if image_size < 64 else 1
    x, y = _make_grid(image_size * factor, film)
    air = _make_air(x, y, patient, inspiration=film.inspiration)
    air *= 1 - film.course * _make_opacity(x, y, patient)
    tissue = _make_tissue(x, y, patient)
    inside = np.minimum(4 * tissue, 1)  # no bone and no air outside the skin
    density = tissue + inside * (_make_bones(x, y, patient) - air)
    density = density.reshape(image_size, factor, image_size, factor).mean((1, 3))
    return _expose(density, film, rng=rng)


def _make_grid(size: int, film: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """x and y on the patient, float32 (size, size) each."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    # The inverse of the film's pose: where on the patient each pixel looks.
    u, v = (line[None, :] - film.shift_x) * film.stretch, line[:, None] - film.shift_y
    turn = math.radians(film.turn_deg)
    cos, sin = math.cos(turn) / film.zoom, math.sin(turn) / film.zoom
    return cos * u + sin * v, cos * v - sin * u


def _edge(distance: np.ndarray, width: float) -> np.ndarray:
    """1 well inside (distance above 0), 0 well outside, a smooth step of about `width` to either side."""
    step = np.minimum(np.maximum(distance / (3 * width) + 0.5, 0), 1)
    return step * step * (3 - 2 * step)


def _bump(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.exp(-(x * x + y * y) / (radius * radius))


def _make_air(x: np.ndarray, y: np.ndarray, patient: SimpleNamespace, *, inspiration: float) -> np.ndarray:
    """Air along the ray, 0 to about 0.6: two lung fields and the windpipe."""
    side, t = np.sign(x), np.abs(x)
    u = (t - 0.40 - 0.07 * y) / (patient.lung_width + 0.05 * y)
    v = (y - 0.12) / patient.lung_height
    u2, v2 = u * u, v * v
    field = _edge(1 - np.sqrt(np.sqrt(u2 * u2 + v2 * v2 + u2 * v2)), 0.10)  # between an ellipse and a box
    # The liver lifts the dome on the patient's right.
    dome = patient.base + inspiration + 0.025 * side - patient.dome * (1 - ((t - 0.36) / 0.40) ** 2)
    field *= _edge(dome - y, 0.03)
    heart = _edge(1 - _heart_radius(x, y) / patient.heart, 0.07)
    middle = patient.mediastinum + patient.thymus * np.exp(-(((y + 0.32) / 0.16) ** 2))
    knob = _edge(0.085 - np.hypot(x - 0.13, y + 0.25), 0.025)
    field *= (1 - 0.9 * heart) * _edge(t - middle, 0.03) * (1 - 0.7 * knob)
    field *= 0.75 + 0.25 * np.sqrt(np.clip(1 - u2, 0, 1))
    field *= 1 - patient.veil - patient.vessels * _make_vessels(x, y, patient)
    windpipe = _edge(0.045 - np.abs(x), 0.02) * _edge(-0.18 - y, 0.06)
    gas = _bump(x - 0.38, 1.5 * (y - patient.base - 0.04), 0.13)
    return 0.6 * field + 0.12 * windpipe + patient.gas * gas


def _heart_radius(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """0 at the middle of a heart of size 1, 1 on its outline."""
    u, v = x - 0.11, y - 0.30
    return np.hypot((0.87 * u + 0.5 * v) / 0.37, (0.87 * v - 0.5 * u) / 0.27)


def _make_vessels(x: np.ndarray, y: np.ndarray, patient: SimpleNamespace) -> np.ndarray:
    """Branches from each hilum, finer outwards; 0 to about 1.5."""
    u, v = np.abs(x) - 0.17, y - 0.02
    radius, angle = np.hypot(u, v), np.arctan2(v, u) + 0.35 * np.sign(x)
    tree = 1.2 * _bump(u, v, 0.12)
    fade = 1.4 * radius / (radius + 0.1) * np.exp(-radius / 0.3)
    wobble = 1.2 * np.sin(12 * radius + patient.branch[0])
    for count, phase, bend in zip((6, 9, 13), patient.branch, (5, -8, 11), strict=True):
        branch = np.clip(np.cos(count * angle + phase + bend * radius + wobble), 0, 1)
        tree += fade * branch * branch
    return tree


def _make_tissue(x: np.ndarray, y: np.ndarray, patient: SimpleNamespace) -> np.ndarray:
    """Soft tissue along the ray: trunk, neck, heart and great vessels, belly, breasts and a nipple."""
    t = np.abs(x)
    half_width = patient.body * (0.26 + 0.72 * _edge(y + 0.80 - 0.12 * t, 0.10)) - 0.06 * _edge(y + 0.1, 0.25)
    depth = np.sqrt(np.clip(1 - (t / half_width) ** 2, 0, 1))
    tissue = _edge(half_width - t, 0.03) * (0.42 + 0.30 * depth)
    tissue += 0.10 * _edge(0.13 - t, 0.06) + 0.08 * _edge(1 - _heart_radius(x, y) / patient.heart, 0.2)
    tissue += 0.10 * _edge(y - patient.base, 0.25)
    tissue += patient.breast * 0.6 * _edge(1 - np.hypot((t - 0.45) / 0.33, (y - 0.38) / 0.27), 0.12)
    tissue += patient.nipple * _bump(x - 0.45 * patient.nipple_side, y - 0.36, 0.05)
    return tissue


def _make_bones(x: np.ndarray, y: np.ndarray, patient: SimpleNamespace) -> np.ndarray:
    """Ribs, collar bones, shoulder blades and the spine."""
    t = np.abs(x)
    cage = _edge(1 - np.hypot(t / 0.86, (y - 0.12) / 1.0), 0.06) * _edge(0.78 - y, 0.1)
    out = np.maximum(t - 0.15, 0)
    back = y - patient.rib_slope * out * (1.1 + 0.5 * out)
    front = y + 0.9 * patient.rib_slope * (t - 0.55) - 0.35 * (t - 0.55) ** 2
    ribs = np.zeros_like(x)
    for path, strength in ((back, 1.0), (front, 0.45 * _edge(t - 0.28, 0.08))):
        wave = np.cos(2 * np.pi * (path / patient.rib_gap + patient.rib_phase))
        ribs += strength * _edge(wave - 0.1, 0.35) * (1.15 - 0.4 * np.clip(wave, 0, 1))  # the rim is denser
    collar = y - patient.clavicle + 0.035 * np.sin(6 * (t - 0.1)) + 0.20 * (t - 0.1)
    collar = _edge(0.035 - np.abs(collar), 0.018) * _edge(0.305 - np.abs(t - 0.395), 0.03)
    spine = _edge(0.075 - t, 0.02) * (0.75 + 0.25 * np.cos(2 * np.pi * y / 0.16))
    scapula = _edge(1 - np.hypot((t - 0.80) / 0.20, (y + 0.25) / 0.38), 0.15)
    return patient.bone * (cage * ribs + 1.6 * collar + 0.8 * spine) + patient.scapula * scapula


def _make_opacity(x: np.ndarray, y: np.ndarray, patient: SimpleNamespace) -> np.ndarray:
    """Share of the air that is filled, 0 to below 1."""
    fluid = np.zeros_like(x)
    if not len(patient.spots):
        return fluid
    if patient.subtype == "viral":
        strands = 1 - np.abs(2 * _make_texture(x, y, field=patient.texture, cell=0.075) - 1)
        texture = 0.35 + 0.65 * strands * strands
    else:
        texture = 0.5 + _make_texture(x, y, field=patient.texture, cell=0.11)
    for spot_x, spot_y, radius, strength in patient.spots.tolist():
        fluid += strength * _bump(x - spot_x, y - spot_y, radius)
    return np.clip(fluid * texture, 0, 0.85)


def _make_texture(x: np.ndarray, y: np.ndarray, *, field: np.ndarray, cell: float) -> np.ndarray:
    """`field` spread over the film at `cell` units a value, smooth in between."""
    u, v = (x + 2) / cell, (y + 2) / cell
    i, j = u.astype(np.int64), v.astype(np.int64)
    p, q = u - i, v - j
    p, q = p * p * (3 - 2 * p), q * q * (3 - 2 * q)
    i, j, n = i % len(field), j % len(field), len(field)
    below, above = (j + 1) % n, (i + 1) % n
    top = field[j, i] * (1 - p) + field[j, above] * p
    return top * (1 - q) + (field[below, i] * (1 - p) + field[below, above] * p) * q


def _expose(density: np.ndarray, film: SimpleNamespace, *, rng: np.random.Generator) -> np.ndarray:
    """Density to grey levels: automatic exposure, so that mean grey does not give the label away."""
    grey = (density - density.mean()) / density.std() * film.contrast + film.level
    grey = np.clip(grey, 0, 1) ** film.gamma
    grain = rng.standard_normal(grey.shape, dtype=np.float32) * film.noise
    return (np.clip(grey + grain, 0, 1) * 255).round().astype(np.uint8)
