"""The second judge of a recipe: validation films under changes other or stronger than those of training.

Stress validation is nearly the training's own augmentation, so what is trained with it wins by construction.
These changes are other ones, from fixed seeds, the same for every recipe, made at 224 px before a film is
read; a frame is undone where the reader cuts frames off.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import convolve
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.images import load_image
from pneumo_utils.evaluation.metrics import Predict
from pneumo_utils.evaluation.robustness import compress

SIDE = 224  # pixels, of the films that are changed
NUM_CLUSTERS, MIN_LEFT_OUT = 6, 100


def _blur_by_motion(film, rng):
    """Along a line of 9 to 17 pixels in any direction: a child that breathes."""
    length, angle = rng.integers(9, 18), rng.uniform(0, np.pi)
    along = np.linspace(-0.5, 0.5, 8 * length) * (length - 1)
    places = (np.stack([along * np.sin(angle), along * np.cos(angle)]) + length // 2).round().astype(int)
    kernel = np.zeros((length, length))
    np.add.at(kernel, tuple(places.clip(0, length - 1)), 1)
    return convolve(film.astype(np.float32), kernel / kernel.sum(), mode="nearest")


def _compress(film, rng):
    """JPEG of quality 8 to 20: blocks show."""
    return compress(film[None], int(rng.integers(8, 21)), rng)[0]


def _add_salt(film, rng):
    """2 to 6 % of all pixels are dead or hot."""
    share, draws = rng.uniform(0.02, 0.06), rng.random(film.shape)
    return np.where(draws < share, np.where(draws < share / 2, 0, 255), film)


def _bend_gain(film, rng):
    """A rising curve through five points, each up to 0.12 off the straight line: another plate or scanner."""
    places = np.linspace(0, 1, 5)
    values = np.maximum.accumulate((places + rng.uniform(-0.12, 0.12, 5)).clip(0, 1))
    return 255 * np.interp(film / 255, places, values)


def _draw_over(film, rng):
    """Two to five lines, as of tubes and wires, and one to three letters, anywhere, dark or light."""
    picture = Image.fromarray(film)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 6)):
        ends = [tuple(end) for end in rng.uniform(0, SIDE, (2, 2)).tolist()]
        draw.line(ends, fill=int(rng.choice([20, 235])), width=int(rng.integers(1, 4)))
    for _ in range(rng.integers(1, 4)):
        font = ImageFont.load_default(float(rng.uniform(14, 36)))
        place, letter = tuple(rng.uniform(0, 0.85 * SIDE, 2).tolist()), "ABELPRSX"[rng.integers(8)]
        draw.text(place, letter, fill=int(rng.choice([0, 255])), font=font)
    return np.asarray(picture)


def _cut_sides(film, rng):
    """Up to 18 % are lost at each side: a film that is cut to the lungs, and not in the middle."""
    top, left, bottom, right = (rng.uniform(0, 0.18, 4) * SIDE).astype(int)
    return film[top : SIDE - bottom, left : SIDE - right]


def _frame(film, rng):
    """On a page of any one grey level that is 5 to 25 % of a side wider at each edge."""
    top, left, bottom, right = (rng.uniform(0.05, 0.25, 4) * SIDE).astype(int)
    page = np.full((top + SIDE + bottom, left + SIDE + right), rng.integers(0, 256), np.uint8)
    page[top : top + SIDE, left : left + SIDE] = film
    return page


def _add_moire(film, rng):
    """A grid of waves of 3 to 8 pixels, 8 to 20 grey levels high: a photograph of a screen."""
    angle, period, height = rng.uniform(0, np.pi), rng.uniform(3, 8), rng.uniform(8, 20)
    rows, columns = np.mgrid[:SIDE, :SIDE] * (2 * np.pi / period)
    along, across = (rows * np.cos(a) + columns * np.sin(a) for a in (angle, angle + np.pi / 2))
    return film + height * np.sin(along) * np.sin(across)


def _lower_dose(film, rng):
    """As many photons a pixel as a Poisson draw gives, 20 to 80 where the film is white."""
    photons = rng.uniform(20, 80)
    return 255 * rng.poisson(film / 255 * photons) / photons


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "motion blur": _blur_by_motion,
    "JPEG": _compress,
    "salt noise": _add_salt,
    "gain curve": _bend_gain,
    "letters and lines": _draw_over,
    "cut sides": _cut_sides,
    "frame": _frame,
    "moire": _add_moire,
    "low dose": _lower_dose,
}


def _pale(film):
    return (96 + film.astype(float) * (63 / 255)).round().astype(np.uint8)


def _border(film):
    return np.pad(film, round(0.1 * SIDE))


def _widen(film):
    return np.pad(film, ((0, 0), (SIDE // 2, SIDE // 2)))


MOVES = {"contrast 64 of 255": _pale, "border 10 %": _border, "canvas twice as wide": _widen}
"""Ways of saving a film in which nothing of it is lost but grey levels: the answer should stay."""
MOVED = 0.05  # of a probability; what changes by more counts as moved


def change_films(films: XrayDataset, name: str, *, reading: dict) -> XrayDataset:
    """Films, read as they are at `SIDE` pixels, under one of `CHANGES` or `MOVES`, and read again."""
    if (films.preset, films.image_size) != ("grey", SIDE):
        raise ValueError(f"The films are {films.preset}, {films.image_size} px; expected grey, {SIDE} px.")
    images = np.empty((len(films), reading["image_size"], reading["image_size"]), np.uint8)
    for place, film in enumerate(films.images):
        if name in MOVES:
            changed = MOVES[name](film)
        else:
            rng = np.random.default_rng([place, list(CHANGES).index(name)])
            changed = CHANGES[name](film, rng)
        images[place] = load_image(np.rint(changed).clip(0, 255).astype(np.uint8), **reading)
    return replace(films, images=images, preset=reading["preset"])


def judge(predict: Predict, films: XrayDataset, *, reading: dict) -> dict[str, float]:
    """AUROC of a model under each of `CHANGES`, by name, on validation films as for `change_films`."""
    aurocs = {}
    for name in CHANGES:
        aurocs[name] = float(roc_auc_score(films.labels, predict(change_films(films, name, reading=reading))))
    return aurocs


def measure_moves(predict: Predict, films: XrayDataset, *, reading: dict) -> dict[str, float]:
    """The share of films whose probability moves by more than `MOVED` under each of `MOVES`."""
    images = np.stack([load_image(film, **reading) for film in films.images])
    plain = predict(replace(films, images=images, preset=reading["preset"]))
    moved = {name: predict(change_films(films, name, reading=reading)) - plain for name in MOVES}
    return {name: float(np.mean(np.abs(change) > MOVED)) for name, change in moved.items()}


def choose_left_out(train: XrayDataset) -> np.ndarray:
    """bool (N,): a group of training films that differ from the others in series, tones and framing.

    Patients are clustered by the means over their films, read as they are, of percentiles of the grey levels
    and of the levels of the outermost tenth at each side, and by where their number lies in its series. Taken
    is the smallest cluster with `MIN_LEFT_OUT` films of each class.
    """
    edge = train.image_size // 10
    sides = [train.images[:, :edge], train.images[:, -edge:]]
    sides += [train.images[:, :, :edge], train.images[:, :, -edge:]]
    framing = np.stack([side.mean((1, 2)) for side in sides], axis=1)
    tones = np.percentile(train.images.reshape(len(train), -1), (5, 25, 50, 75, 95), axis=1).T
    table = pd.DataFrame(np.column_stack([tones, framing]))
    patients = table.groupby(train.patients).mean()
    names = patients.index.str.extract(r"^(.*?)(\d+)$")
    patients["place"] = names[1].astype(int).groupby(names[0]).rank(pct=True).to_numpy()
    features = StandardScaler().fit_transform(patients.to_numpy())
    clusters = KMeans(NUM_CLUSTERS, n_init=10, random_state=0).fit_predict(features)
    found = pd.Series(clusters, patients.index)[train.patients].to_numpy()
    counts = np.array([[np.sum(train.labels[found == c] == k) for k in (0, 1)] for c in range(NUM_CLUSTERS)])
    sizes = np.where(counts.min(1) >= MIN_LEFT_OUT, counts.sum(1), len(train) + 1)
    return found == sizes.argmin()
