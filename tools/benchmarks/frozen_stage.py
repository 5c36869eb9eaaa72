"""Ten epochs of the stage in which only the head learns: features kept against films passed anew.

    python benchmarks/frozen_stage.py FOLDER [--epochs 10] [--films 1000] [--seeds 3] [--json FILE]

FOLDER is a data set in the layout of ChestXRay2017. Both ways train the head of the same ResNet-18 at 64 px
by the strategy `frozen` and judge validation and its stressed copies after each epoch, as `fit` does. Times
hold all of it but reading. The weights are random: that changes no time, and the AUROC of both ways shows
whether they learn the same.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer

IMAGE_SIZE = 64


class NaiveTrainer(Trainer):
    """Passes every film through the backbone in every epoch."""

    def _make_frozen_features(self) -> None:
        pass


def run(kind: type[Trainer], films: dict, *, epochs: int, seed: int) -> dict:
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


def main() -> None:
    """Runs both ways in turn and prints times, ratios and AUROC; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--films", type=int, default=1000, help="training films, the first of the split")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    keep_freed_memory()
    choice = choose_data(args.folder)
    train, val = (load_split(choice, split, image_size=IMAGE_SIZE) for split in ("train", "val"))
    chosen = np.random.default_rng(0).permutation(len(train))[: args.films]
    chosen_val = np.random.default_rng(0).permutation(len(val))[: len(val) * len(chosen) // len(train)]
    val = val.select(chosen_val)
    films = {"train": train.select(chosen), "val": val, "stressed": make_stress_films(val)}
    runs, ratios = {"ours": [], "naive": []}, []
    for seed in range(args.seeds):
        for name, kind in (("ours", Trainer), ("naive", NaiveTrainer)):
            runs[name].append(run(kind, films, epochs=args.epochs, seed=seed))
            print(f"{name:6} seed {seed}: {runs[name][-1]['time_s']:.1f} s, "
                  f"stress AUROC {runs[name][-1]['stress_auroc']:.4f}", flush=True)  # fmt: skip
        ratios.append(runs["ours"][-1]["time_s"] / runs["naive"][-1]["time_s"])
    print(f"ours over naive: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    result = {"films": len(chosen), "epochs": args.epochs, "runs": runs, "ratios": ratios}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
