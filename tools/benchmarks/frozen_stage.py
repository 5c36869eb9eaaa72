"""Ten epochs of the stage in which only the head learns: features kept against films passed anew.

FOLDER is a data set in the layout of ChestXRay2017. Both ways train the head of the same ResNet-18 at 64 px
by the strategy `frozen` and judge validation and its stressed copies after each epoch, as `fit` does. Times
hold all of it but reading. The weights are random: that changes no time, and the AUROC of both ways shows
whether they learn the same.
"""

import time

import numpy as np
from sklearn.metrics import roc_auc_score

from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer
from tools.benchmarks import compute_ratio

IMAGE_SIZE = 64


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--films", type=int, default=1000, help="training films, drawn from the split")
    parser.add_argument("--seeds", type=int, default=3)


class NaiveTrainer(Trainer):
    """Passes every film through the backbone in every epoch."""

    def _make_frozen_features(self) -> None:
        pass


def train(kind: type[Trainer], films: dict, *, epochs: int, seed: int) -> dict:
    """Seconds of one way, and the AUROC on stressed validation films that it ends with."""
    config = make_config("resnet_finetune", num_epochs=epochs, seed=seed, strategy="frozen", pretrained=False)
    set_seed(seed)
    model = build_model(config.model, dropout=config.dropout)
    trainer = kind(config, model, films["train"], accelerator=make_accelerator())
    started = time.perf_counter()
    for epoch in range(1, epochs + 1):
        trainer.train_epoch(epoch)
        trainer.predict(films["val"].images)
        logits = trainer.predict(films["stressed"].images)
    time_s = time.perf_counter() - started
    return {"time_s": time_s, "stress_auroc": float(roc_auc_score(films["stressed"].labels, logits))}


def measure(arguments) -> dict:
    """Both ways in turn, over the seeds."""
    keep_freed_memory()
    choice = choose_data(arguments.folder)
    whole, val = (load_split(choice, split, image_size=IMAGE_SIZE) for split in ("train", "val"))
    chosen = np.random.default_rng(0).permutation(len(whole))[: arguments.films]
    num_val = len(val) * len(chosen) // len(whole)
    val = val.select(np.random.default_rng(0).permutation(len(val))[:num_val])
    films = {"train": whole.select(chosen), "val": val, "stressed": make_stress_films(val)}
    runs = {"ours": [], "naive": []}
    for seed in range(arguments.seeds):
        for name, kind in (("ours", Trainer), ("naive", NaiveTrainer)):
            run = train(kind, films, epochs=arguments.epochs, seed=seed)
            runs[name].append(run)
            figures = f"{run['time_s']:.1f} s, stress AUROC {run['stress_auroc']:.4f}"
            print(f"{name:6} seed {seed}: {figures}", flush=True)
    times = {name: [run["time_s"] for run in done] for name, done in runs.items()}
    ratio = compute_ratio(times["ours"], times["naive"])
    print(f"ours over naive: {ratio}")
    return {"films": len(chosen), "epochs": arguments.epochs, "runs": runs, **ratio}
