"""What one training step costs on a CPU, where its time goes, and what each known remedy gives.

    python benchmarks/cpu_step.py [--rounds 3] [--steps 20] [--json FILE]

Drawn films; for each model the step as `fit` takes it, and the same with one thing changed. Each run is a
process of its own, and the variants take turns; a ratio above 1 is slower than `fit` as it is.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer

SIZES = {"cnn_baseline": 128, "resnet_finetune": 64}
VARIANTS = {
    "as it is": "channels last, freed memory kept, all cores, single precision, eager",
    "freed memory given back": "glibc as it comes: pages are cleared anew in every step",
    "channels first": "the layout torch starts with",
    "one thread": "torch.set_num_threads(1)",
    "more threads than cores": "torch.set_num_threads(2 x cores)",
    "bfloat16": "autocast of the forward pass",
    "fused AdamW": "torch.optim.AdamW(fused=True)",
    "torch.compile": "the network compiled; the first steps, in which that is done, are not counted",
}
WARM_UP = 5
PROFILED_OPS = 8


def make_trainer(model: str, variant: str) -> Trainer:
    """A trainer with one thing changed."""
    if variant != "freed memory given back":
        keep_freed_memory()
    if variant == "one thread":
        torch.set_num_threads(1)
    if variant == "more threads than cores":
        torch.set_num_threads(2 * (os.cpu_count() or 1))
    set_seed(0)
    config = make_config(model, image_size=SIZES[model], pretrained=False, strategy="full")
    films = make_phantoms(10 * config.batch_size, image_size=config.image_size)
    is_half = variant == "bfloat16"
    accelerator = Accelerator(mixed_precision="bf16", cpu=True) if is_half else make_accelerator()
    trainer = Trainer(config, build_model(model, dropout=config.dropout), films, accelerator=accelerator)
    if variant == "channels first":
        trainer.bare_model.to(memory_format=torch.contiguous_format)
    if variant == "fused AdamW":
        for group in trainer.optimizer.param_groups:
            group["fused"], group["foreach"] = True, False
    if variant == "torch.compile":
        trainer.model = torch.compile(trainer.model)
    trainer.open_blocks(len(trainer.blocks))
    return trainer


def list_batches(trainer: Trainer, count: int) -> list[torch.Tensor]:
    """Films for so many steps."""
    batches = []
    while len(batches) < count:
        batches += trainer.draw_batches()
    return batches[:count]


def measure(model: str, variant: str, steps: int) -> dict:
    """Milliseconds of one step, the median, in this process."""
    trainer, times = make_trainer(model, variant), []
    started = time.perf_counter()
    for place, batch in enumerate(list_batches(trainer, WARM_UP + steps)):
        if place == WARM_UP:
            warm_up_s = time.perf_counter() - started
        before = time.perf_counter()
        trainer.step(batch)
        times.append(time.perf_counter() - before)
    return {"ms": 1000 * float(np.median(times[WARM_UP:])), "warm_up_s": warm_up_s}


def profile(model: str, steps: int) -> dict:
    """Shares of a step: of its augmentation, and of the operators that take most of the time."""
    trainer = make_trainer(model, "as it is")
    for batch in list_batches(trainer, WARM_UP):
        trainer.step(batch)
    whole, augmentation = 0.0, 0.0
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for batch in list_batches(trainer, steps):
            before = time.perf_counter()
            trainer.step(batch)
            whole += time.perf_counter() - before
    for batch in list_batches(trainer, steps):
        before = time.perf_counter()
        trainer._draw_inputs(batch)
        augmentation += time.perf_counter() - before
    ops = sorted(profiler.key_averages(), key=lambda op: -op.self_cpu_time_total)[:PROFILED_OPS]
    total = sum(op.self_cpu_time_total for op in profiler.key_averages())
    shares = {op.key: round(op.self_cpu_time_total / total, 3) for op in ops}
    return {"augmentation": round(augmentation / whole, 3), "operators": shares}


def run(*words: str) -> dict:
    """This script again, in a process of its own; its last line."""
    done = subprocess.run(
        [sys.executable, __file__, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        model, variant = arguments.part
        work = profile(model, arguments.steps) if variant == "profile" else None
        print(json.dumps(work or measure(model, variant, arguments.steps)))
        return
    result = {"cores": os.cpu_count(), "variants": VARIANTS}
    steps = ("--steps", str(arguments.steps))
    for model, size in SIZES.items():
        result[model] = {"image_size": size, "profile": run("--part", model, "profile", *steps)}
        print(f"{model} at {size} px: {json.dumps(result[model]['profile'])}", flush=True)
        rounds = [{v: run("--part", model, v, *steps) for v in VARIANTS} for _ in range(arguments.rounds)]
        for variant in VARIANTS:
            done = [row for row in rounds if row[variant]]
            if not done:
                print(f"  {variant}: does not run here", flush=True)
                continue
            ratios = [row[variant]["ms"] / row["as it is"]["ms"] for row in done]
            row = {
                "ms": round(float(np.median([r[variant]["ms"] for r in done])), 1),
                "ratio": round(float(np.median(ratios)), 3),
                "lowest": round(min(ratios), 3),
                "highest": round(max(ratios), 3),
                "warm_up_s": round(float(np.median([r[variant]["warm_up_s"] for r in done])), 1),
            }
            result[model][variant] = row
            print(f"  {variant}: {row}", flush=True)
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
