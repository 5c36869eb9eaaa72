"""Trains the guard's network and chooses its limits."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from pneumo_utils.config import Augmentation
from pneumo_utils.data.augmentation import augment_films
from pneumo_utils.data.grey_scale import cut_frame
from pneumo_utils.data.images import IMAGE_SUFFIXES, load_image
from pneumo_utils.errors import ImageError, UsageError
from pneumo_utils.guard.guard import INPUT_SIZE, KINDS, LIMITS
from tools.teach_guard.bedside import make_bedside
from tools.teach_guard.network import FilmKindNet, normalise_levels, predict_chest
from tools.teach_guard.pictures import SEEN_DRAWINGS, SEEN_FAULTS

FILM_SIZE = 2 * INPUT_SIZE
"""Height and width at which pictures are changed, before they are halved to the network's input."""
CHANGES = Augmentation(
    rotate_deg=10.0,
    zoom=0.28,
    stretch=0.6,
    shift=0.1,
    flip_prob=0.5,
    brightness=0.1,
    contrast=0.5,
    gamma=0.7,
    blur_prob=0.2,
    noise=0.06,
    erase_prob=0.15,
    corner_prob=0.25,
    border_prob=0.3,
)
"""How differently the films of another hospital may look."""
BATCH = {"chest": 16, "elsewhere": 16, "picture": 10, "drawing": 6}
"""Pictures of a batch; each fault of `SEEN_FAULTS` adds `FAULTS` more, and as many on films of elsewhere."""
FAULTS = 1
ELSEWHERE = "frontal_elsewhere"
"""The folder of outside pictures that are frontal films of another hospital."""
PICTURE_KINDS = {"chest_films": "chest", "side_views": "side_view"}
"""The kind of a folder of other outside pictures; all that are not here are "other"."""
LET_THROUGH, ACCEPTED = 0.998, 0.99
"""Shares of the plain and changed films for the choice that are to pass the two limits."""


def read_pictures(folder: Path | None, part: str) -> dict[str, list[np.ndarray]]:
    """Outside pictures by kind.

    Args:
        folder: Holds `fit` and `judge`, each with one folder a kind; None if there are none.
        part: "fit" or "judge".

    Returns:
        Grey pictures, uint8 (H, W) each, by the name of their folder, sorted; unreadable ones are left out.

    Raises:
        UsageError: The folder has no such part.
    """
    if folder is None:
        return {}
    if not (folder / part).is_dir():
        raise UsageError(
            f"{folder.name} holds no folder {part}; expected fit and judge, a folder a kind in each."
        )
    kinds = {
        path.name: sorted(path.rglob("*")) for path in sorted((folder / part).iterdir()) if path.is_dir()
    }
    return {kind: list(_read(paths)) for kind, paths in kinds.items()}


def _read(paths):
    for path in paths:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            try:
                yield load_image(path)
            except ImageError:
                continue


def take_elsewhere(pictures: dict[str, list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Takes the films of elsewhere out of the pictures: those to learn from, and each fourth for the limits.

    Returns:
        Two arrays, uint8 (N, 128, 128); N is 0 where there are none.
    """
    films = np.array([_squash(film) for film in pictures.pop(ELSEWHERE, [])], np.uint8)
    films = films.reshape(-1, FILM_SIZE, FILM_SIZE)
    is_held = np.arange(len(films)) % 4 == 0
    return films[~is_held], films[is_held]


class GuardBatches:
    """Batches for the network, drawn without end.

    Args:
        films: uint8 (N, 128, 128), chest films.
        pictures: What `read_pictures` returned, without the films of elsewhere.
        elsewhere: uint8 (M, 128, 128), chest films of elsewhere; M may be 0.
    """

    def __init__(
        self,
        films: np.ndarray,
        pictures: dict[str, list[np.ndarray]],
        elsewhere: np.ndarray,
        *,
        seed: int = 0,
    ):
        self.films, self.elsewhere = films, elsewhere if len(elsewhere) else films
        self.pictures = {
            kind: [_squash(image) for image in images] for kind, images in pictures.items() if images
        }
        self.rng, self.generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Grey levels in 0 to 1, float (B, 1, 64, 64), and kinds, int64 (B,)."""
        chests = self._draw_films(BATCH["chest"], BATCH["elsewhere"])
        parts = [(chests, [0] * len(chests))]
        for fault, kind in SEEN_FAULTS.items():
            films = self._draw_films(FAULTS, FAULTS)
            parts.append((fault(films, self.generator), [KINDS.index(kind)] * len(films)))
        parts.append(self._draw_others())
        levels, kinds = zip(*parts, strict=True)
        return F.avg_pool2d(torch.cat(levels), 2), torch.tensor([kind for part in kinds for kind in part])

    def _draw_films(self, n: int, n_elsewhere: int) -> torch.Tensor:
        sources = ((self.films, n), (self.elsewhere, n_elsewhere))
        chosen = [films[self.rng.integers(len(films), size=count)] for films, count in sources]
        return self._change(np.concatenate(chosen))

    def _change(self, images) -> torch.Tensor:
        """As a bedside may, and another hospital; films of the batch are mixed with what is no film."""
        levels = torch.from_numpy(np.asarray(images)).float().div_(255)[:, None]
        return augment_films(make_bedside(levels, self.generator), CHANGES, generator=self.generator)

    def _draw_others(self) -> tuple[torch.Tensor, list[int]]:
        """Drawings, and outside pictures: every kind of folder as often as any other."""
        drawings = [
            _squash(np.array(SEEN_DRAWINGS[self.rng.integers(len(SEEN_DRAWINGS))](self.rng, FILM_SIZE)))
            for _ in range(BATCH["drawing"])
        ]
        folders = [
            str(self.rng.choice(list(self.pictures))) for _ in range(BATCH["picture"] if self.pictures else 0)
        ]
        chosen = [self._draw_picture(folder) for folder in folders]
        names = ["other"] * len(drawings) + [PICTURE_KINDS.get(folder, "other") for folder in folders]
        return self._change(drawings + chosen), [KINDS.index(name) for name in names]

    def _draw_picture(self, folder: str) -> np.ndarray:
        """One picture; where up and down do not matter, turned and often only a part of it."""
        images = self.pictures[folder]
        image = images[self.rng.integers(len(images))]
        if folder in PICTURE_KINDS:
            return image
        image = np.rot90(image, self.rng.choice([0, 0, 0, 1, 2, 3]))
        side = int(FILM_SIZE * self.rng.choice([1, 1, self.rng.uniform(0.4, 1)]))
        top, left = self.rng.integers(0, FILM_SIZE - side + 1, 2)
        image = _resize(image[top : top + side, left : left + side])
        return 255 - image if self.rng.random() < 0.2 else image


def _squash(image: np.ndarray) -> np.ndarray:
    """As the guard sees it: without its frame."""
    return _resize(cut_frame(image))


def _resize(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(np.ascontiguousarray(image)).resize((FILM_SIZE, FILM_SIZE)))


def train_film_kinds(
    batches: GuardBatches, *, num_steps: int, lr: float = 3e-3, say: Callable[[str], None] = lambda text: None
) -> FilmKindNet:
    """Trains the network by a one-cycle schedule with this peak `lr`, and rounds it to half precision.

    Returns:
        The network, in evaluation mode.
    """
    torch.manual_seed(0)
    net, started = FilmKindNet().train(), time.perf_counter()
    optimizer = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=num_steps + 1, pct_start=0.15)
    for step in range(1, num_steps + 1):
        levels, kinds = batches.draw()
        logits = net(normalise_levels(levels))
        loss = F.cross_entropy(logits, kinds, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            right = (logits.argmax(1) == kinds).float().mean()
            say(f"step {step}: loss {loss:.3f}, right {right:.0%}, {time.perf_counter() - started:.0f} s")
    net.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    )
    return net.eval()


def choose_limits(net: FilmKindNet, *groups: np.ndarray, seed: int = 1) -> dict[str, float]:
    """The limits of `FilmKindModel`, so that they let the asked shares of every group of films through.

    Args:
        net: Trained.
        groups: uint8 (N, 128, 128) each, films it did not learn from; each counts once as it is and once
            changed, so that the limits hold for hospitals with other habits too. An empty one does not count.

    Returns:
        The limits by name. An unusable film is rejected below the least P(chest) of all these films.
    """
    probs = [_predict_changed(net, films, seed) for films in groups if len(films)]
    shares = dict(zip(LIMITS, (LET_THROUGH, ACCEPTED, 1.0), strict=True))
    return {name: float(min(np.quantile(p, 1 - share) for p in probs)) for name, share in shares.items()}


def _predict_changed(net: FilmKindNet, films: np.ndarray, seed: int) -> np.ndarray:
    levels = torch.from_numpy(films).float().div_(255)[:, None]
    changed = augment_films(levels, CHANGES, generator=torch.Generator().manual_seed(seed))
    parts = torch.cat([levels, changed]).split(256)
    return torch.cat([predict_chest(net, F.avg_pool2d(part, 2)) for part in parts]).numpy()
