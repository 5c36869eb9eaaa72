"""How near training is to what the device can do: images per second, over the same loop on random tensors.

    python benchmarks/device_step.py [--image-size 224] [--batch-size 64] [--steps 30] [--json FILE]

ResNet-18 from random weights in the training step of `fit`, on the best device there is: with films that lie
on the device and are augmented there, and with random numbers that lie there already, in turns. On a GPU a
ratio near 1 says that no step waits for the host.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer

MODEL = "resnet_finetune"
WARM_UP = 3
NUM_FILMS = 512


class RandomTrainer(Trainer):
    """Takes the same random batch in every step."""

    def _draw_inputs(self, index: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "random_inputs"):
            size = self.config.image_size
            self.random_inputs = torch.randn(len(index), 1, size, size, device=self.device)
        return self.random_inputs


def make_trainer(kind: type[Trainer], films, config) -> Trainer:
    """Ready for its first step."""
    set_seed(0)
    trainer = kind(config, build_model(config.model), films, accelerator=make_accelerator())
    trainer.open_blocks(len(trainer.blocks))
    return trainer


def measure(trainer: Trainer, steps: int) -> float:
    """Images per second; each step ends with its loss on the host, so the device has done its work."""
    batches = []
    while len(batches) < WARM_UP + steps:
        batches += trainer.draw_batches()
    for batch in batches[:WARM_UP]:
        trainer.step(batch)
    started = time.perf_counter()
    for batch in batches[WARM_UP : WARM_UP + steps]:
        trainer.step(batch)
    return steps * len(batches[0]) / (time.perf_counter() - started)


def main() -> None:
    """Measures and prints; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    keep_freed_memory()
    films = make_phantoms(NUM_FILMS, image_size=args.image_size)
    settings = {"image_size": args.image_size, "batch_size": args.batch_size}
    # More epochs than will be run: the schedule ends with the last of them.
    config = make_config(MODEL, pretrained=False, strategy="full", num_epochs=1000, **settings)
    trainers = [make_trainer(kind, films, config) for kind in (Trainer, RandomTrainer)]
    rounds = np.array([[measure(t, args.steps) for t in trainers] for _ in range(args.rounds)])
    ratios = rounds[:, 0] / rounds[:, 1]
    device = trainers[0].device
    result = settings | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": trainers[0].accelerator.mixed_precision,
        "images_per_s": round(float(np.median(rounds[:, 0])), 1),
        "random_images_per_s": round(float(np.median(rounds[:, 1])), 1),
        "ratio": round(float(np.median(ratios)), 3),
        "lowest": round(float(ratios.min()), 3),
        "highest": round(float(ratios.max()), 3),
    }
    print(json.dumps(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
