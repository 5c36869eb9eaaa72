"""Trains the guard's network and chooses its limits."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pneumo_utils.config import Augmentation
from pneumo_utils.data.augmentation import augment_films
from pneumo_utils.data.images import IMAGE_SUFFIXES, load_image
from pneumo_utils.errors import ImageError, UsageError
from pneumo_utils.guard.guard import INPUT_SIZE, KINDS
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
BATCH = {"chest": 44, "picture": 18, "drawing": 10}
"""Pictures of a batch; each fault of `SEEN_FAULTS` adds `FAULTS` more."""
FAULTS = 4
PICTURE_KINDS = {"chest_films": "chest", "side_views": "side_view"}
"""The kind of a folder of outside pictures; all others are "other"."""
LET_THROUGH, ACCEPTED = 0.998, 0.99
"""Shares of the changed validation films that are to pass the two limits."""


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


class GuardBatches:
    """Batches for the network, drawn without end.

    Args:
        films: uint8 (N, 128, 128), chest films.
        pictures: What `read_pictures` returned.
    """

    def __init__(self, films: np.ndarray, pictures: dict[str, list[np.ndarray]], *, seed: int = 0):
        self.films = films
        self.pictures = {
            kind: [_squash(image) for image in images] for kind, images in pictures.items() if images
        }
        self.rng, self.generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Grey levels in 0 to 1, float (B, 1, 64, 64), and kinds, int64 (B,)."""
        parts = [(self._draw_films(BATCH["chest"]), [0] * BATCH["chest"])]
        for fault, kind in SEEN_FAULTS.items():
            films = self._draw_films(FAULTS)
            parts.append((fault(films, self.generator), [KINDS.index(kind)] * FAULTS))
        parts.append(self._draw_others())
        levels, kinds = zip(*parts, strict=True)
        return F.avg_pool2d(torch.cat(levels), 2), torch.tensor([kind for part in kinds for kind in part])

    def _draw_films(self, n: int) -> torch.Tensor:
        return self._change(self.films[self.rng.integers(len(self.films), size=n)])

    def _change(self, images) -> torch.Tensor:
        levels = torch.from_numpy(np.asarray(images)).float().div_(255)[:, None]
        return augment_films(levels, CHANGES, generator=self.generator)

    def _draw_others(self) -> tuple[torch.Tensor, list[int]]:
        """Drawings, and outside pictures: every kind of folder as often as any other."""
        drawings = [
            np.array(SEEN_DRAWINGS[self.rng.integers(len(SEEN_DRAWINGS))](self.rng, FILM_SIZE))
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
        image = _squash(image[top : top + side, left : left + side])
        return 255 - image if self.rng.random() < 0.2 else image


def _squash(image: np.ndarray) -> np.ndarray:
    return load_image(np.ascontiguousarray(image), image_size=FILM_SIZE) if min(image.shape) >= 16 else image


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


def choose_limits(net: FilmKindNet, films: np.ndarray, *, seed: int = 1) -> tuple[float, float]:
    """Sets the two limits so that they let the asked shares of the films through.

    Args:
        net: Trained.
        films: uint8 (N, 128, 128), validation films; each counts once as it is and once changed, so that
            the limits hold for hospitals with other habits too.

    Returns:
        Below which P(chest) a picture is rejected, and below which it is warned of.
    """
    levels = torch.from_numpy(films).float().div_(255)[:, None]
    changed = augment_films(levels, CHANGES, generator=torch.Generator().manual_seed(seed))
    parts = torch.cat([levels, changed]).split(256)
    probs = torch.cat([predict_chest(net, F.avg_pool2d(part, 2)) for part in parts]).numpy()
    return tuple(float(np.quantile(probs, 1 - share)) for share in (LET_THROUGH, ACCEPTED))
