"""How near training is to what the device can do: images per second, over the same loop on random tensors.

ResNet-18 from random weights in the training step of `fit`, on the best device there is: with films that lie
on the device and are augmented there, and with random numbers that lie there already, in turns. On a GPU a
ratio near 1 says that no step waits for the host.
"""

import statistics
import time

import torch

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer
from tools.benchmarks import compute_ratio

MODEL = "resnet_finetune"
WARM_UP = 3
NUM_FILMS = 512


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)


class RandomTrainer(Trainer):
    """Takes the same random batch in every step."""

    def _draw_levels(self, index: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "random_levels"):
            size = self.config.image_size
            self.random_levels = torch.rand(len(index), 1, size, size, device=self.device)
        return self.random_levels


def make_trainer(kind: type[Trainer], films, config) -> Trainer:
    """Ready for its first step."""
    set_seed(0)
    trainer = kind(config, build_model(config.model), films, accelerator=make_accelerator())
    trainer.open_blocks(len(trainer.blocks))
    return trainer


def count_images_per_s(trainer: Trainer, steps: int) -> float:
    """Each step ends with its loss on the host, so the device has done its work."""
    batches = []
    while len(batches) < WARM_UP + steps:
        batches += trainer.draw_batches()
    for batch in batches[:WARM_UP]:
        trainer.step(batch)
    started = time.perf_counter()
    for batch in batches[WARM_UP : WARM_UP + steps]:
        trainer.step(batch)
    return steps * len(batches[0]) / (time.perf_counter() - started)


def measure(arguments) -> dict:
    """Both rates and their ratio."""
    keep_freed_memory()
    films = make_phantoms(NUM_FILMS, image_size=arguments.image_size)
    settings = {"image_size": arguments.image_size, "batch_size": arguments.batch_size}
    # More epochs than will be run: the schedule ends with the last of them.
    config = make_config(MODEL, pretrained=False, strategy="full", num_epochs=1000, **settings)
    own, random = (make_trainer(kind, films, config) for kind in (Trainer, RandomTrainer))
    rates = {"own": [], "random": []}
    for _ in range(arguments.rounds):
        rates["own"].append(count_images_per_s(own, arguments.steps))
        rates["random"].append(count_images_per_s(random, arguments.steps))
    device = own.device
    result = settings | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": own.accelerator.mixed_precision,
        "images_per_s": round(statistics.median(rates["own"]), 1),
        "random_images_per_s": round(statistics.median(rates["random"]), 1),
        **compute_ratio(rates["own"], rates["random"]),
    }
    print(result)
    return result
