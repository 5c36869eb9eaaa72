"""Five epochs of `cnn_baseline` from files as they come: this project against what people use instead.

FOLDER holds the class folders NORMAL and PNEUMONIA. Each way trains the same network in single precision
with the same optimizer and batch size on the same films (every fifth is held out and scored after each
epoch), and each augments in the manner of its library:

    ours        the project's reading and its `Trainer`
    torchvision `ImageFolder`, v2 transforms, `DataLoader` with two workers
    fastai      `DataBlock`, `aug_transforms`, a `Learner` and its `fit_one_cycle`

Every run is a process of its own, and the ways take turns. The time runs from the first look into the folder
to the last score; imports are left out. A way whose library is absent is left out, and said to be.
"""

import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pneumo_utils.data.folders import list_films
from pneumo_utils.data.sources import read_films
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer
from tools.benchmarks import compute_ratio, run_apart

BATCH_SIZE, LR, WEIGHT_DECAY, HELD_OUT = 32, 3e-3, 0.01, 5


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)


def measure(arguments) -> dict:
    """Times of all ways, and the ratios of ours to the others."""
    settings = {"epochs": arguments.epochs, "image_size": arguments.image_size}
    times = {way: [] for way in WAYS if way != "fastai" or find_spec("fastai")}
    for _ in range(arguments.repeats):
        for way, values in times.items():
            values.append(run_apart(time_way, way, arguments.folder, **settings))
            print(f"{way:12}{values[-1]:8.2f} s", flush=True)
    ratios = {way: compute_ratio(times["ours"], times[way]) for way in times if way != "ours"}
    for way, ratio in ratios.items():
        print(f"ours over {way}: {ratio}")
    if "fastai" not in times:
        print("fastai is not installed, so it was left out.")
    return {"films": len(_find_places(arguments.folder)), **settings, "times_s": times, "ratios": ratios}


def time_way(way: str, folder: Path, *, epochs: int, image_size: int) -> float:
    """Seconds that one way takes in this process."""
    set_seed(0)
    started = time.perf_counter()
    scores = WAYS[way](folder, epochs=epochs, image_size=image_size)
    spent = time.perf_counter() - started
    assert np.isfinite(scores).all() and len(scores) == -(-len(_find_places(folder)) // HELD_OUT)
    return spent


def is_held_out(path: Path, folder: Path) -> bool:
    """Every fifth film of the folder, by name."""
    return _find_places(folder)[path.name] % HELD_OUT == 0


@cache
def _find_places(folder: Path) -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted(path.name for path in folder.glob("*/*")))}


def train_ours(folder: Path, *, epochs: int, image_size: int) -> list[float]:
    """Scores of the held-out films after the last epoch."""
    keep_freed_memory()
    config = make_config("cnn_baseline", image_size=image_size, num_epochs=epochs, batch_size=BATCH_SIZE)
    films = list_films(folder)
    films = read_films(films, image_size=image_size, split="train", max_films=None)
    held_out = np.array([is_held_out(Path(name), folder) for name in films.names])
    train, val = films.select(~held_out), films.select(held_out)
    trainer = Trainer(config, build_model(config.model), train, accelerator=make_accelerator())
    for epoch in range(1, epochs + 1):
        trainer.train_epoch(epoch)
        logits = trainer.predict(val.images)
    return logits.tolist()


def train_torchvision(folder: Path, *, epochs: int, image_size: int) -> list[float]:
    """The same by the loop of a tutorial."""
    from torch.utils.data import DataLoader, Subset
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    grey = [v2.Grayscale(), v2.Resize((image_size, image_size), antialias=True)]
    end = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.449], [0.226])]
    changes = [
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(10, translate=(0.05, 0.05), scale=(0.9, 1.1)),
        v2.ColorJitter(brightness=0.2, contrast=0.2),
    ]
    to_train, to_judge = (ImageFolder(folder, v2.Compose(grey + c + end)) for c in (changes, []))
    held_out = np.array([is_held_out(Path(path), folder) for path, _ in to_train.samples])
    loading = {"batch_size": BATCH_SIZE, "num_workers": 2, "persistent_workers": True}
    train = DataLoader(Subset(to_train, np.flatnonzero(~held_out)), shuffle=True, drop_last=True, **loading)
    val = DataLoader(Subset(to_judge, np.flatnonzero(held_out)), **loading)
    model = build_model("cnn_baseline")
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=epochs * len(train))
    for _ in range(epochs):
        model.train()
        for images, labels in train:
            loss = binary_cross_entropy_with_logits(model(images), labels.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(images) for images, _ in val])
    return logits.tolist()


def train_fastai(folder: Path, *, epochs: int, image_size: int) -> list[float]:
    """The same by fastai; `vision_learner` would put a head of its own on the network."""
    from fastai.vision import all as fastai

    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock(cls=fastai.PILImageBW), fastai.CategoryBlock),
        get_items=fastai.get_image_files,
        splitter=fastai.FuncSplitter(lambda path: is_held_out(path, folder)),
        get_y=fastai.parent_label,
        item_tfms=fastai.Resize(image_size, method="squish"),
        batch_tfms=fastai.aug_transforms(do_flip=True, max_rotate=10.0),
    )
    loaders = block.dataloaders(folder, bs=BATCH_SIZE, num_workers=2)
    loss = fastai.BCEWithLogitsLossFlat()
    learner = fastai.Learner(loaders, build_model("cnn_baseline"), loss_func=loss)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, LR, wd=WEIGHT_DECAY)
        return learner.get_preds(dl=loaders.valid)[0].flatten().tolist()


WAYS = {"ours": train_ours, "torchvision": train_torchvision, "fastai": train_fastai}
