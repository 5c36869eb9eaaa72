"""What one training step costs on a CPU, where its time goes, and what each known remedy gives.

For each model the step as `fit` takes it, on phantoms, and the same with one thing changed. Each run is a
process of its own, and the variants take turns; a ratio above 1 is slower than `fit` as it is.
"""

import os
import statistics
import time

import torch
from accelerate import Accelerator

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.registry import build_model
from pneumo_utils.runtime import keep_freed_memory, make_accelerator, set_seed
from pneumo_utils.training.recipes import make_config
from pneumo_utils.training.trainer import Trainer
from tools.benchmarks import run_apart

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


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)


def measure(arguments) -> dict:
    """Times and ratios of all variants, and a profile, for each model."""
    result = {"cores": os.cpu_count(), "variants": VARIANTS}
    for model, size in SIZES.items():
        shares = run_apart(profile, model, arguments.steps)
        result[model] = {"image_size": size, "profile": shares}
        print(f"{model} at {size} px: {shares}", flush=True)
        rounds = [
            {variant: try_variant(model, variant, arguments.steps) for variant in VARIANTS}
            for _ in range(arguments.rounds)
        ]
        for variant in VARIANTS:
            row = summarise(variant, rounds)
            print(f"  {variant}: {row or 'does not run here'}", flush=True)
            if row:
                result[model][variant] = row
    return result


def try_variant(model: str, variant: str, steps: int) -> dict:
    """What `time_steps` measures in a process of its own; nothing where the machine lacks the remedy."""
    try:
        return run_apart(time_steps, model, variant, steps)
    except Exception:  # a compiler or a kind of number that is not there fails in its own way
        return {}


def summarise(variant: str, rounds: list[dict]) -> dict:
    """The medians over the rounds in which a variant ran."""
    done = [row for row in rounds if row[variant]]
    if not done:
        return {}
    ratios = [row[variant]["ms"] / row["as it is"]["ms"] for row in done]
    return {
        "ms": round(statistics.median(row[variant]["ms"] for row in done), 1),
        "ratio": round(statistics.median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        "warm_up_s": round(statistics.median(row[variant]["warm_up_s"] for row in done), 1),
    }


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


def time_steps(model: str, variant: str, steps: int) -> dict:
    """Milliseconds of one step, the median, and seconds of the first few, in this process."""
    trainer = make_trainer(model, variant)
    times = [_time(trainer.step, batch) for batch in list_batches(trainer, WARM_UP + steps)]
    return {"ms": 1000 * statistics.median(times[WARM_UP:]), "warm_up_s": sum(times[:WARM_UP])}


def profile(model: str, steps: int) -> dict:
    """Shares of a step: of its augmentation, and of the operators that take most of the time."""
    trainer = make_trainer(model, "as it is")
    for batch in list_batches(trainer, WARM_UP):
        trainer.step(batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        whole = sum(_time(trainer.step, batch) for batch in list_batches(trainer, steps))
    augmentation = sum(_time(trainer._draw_levels, batch) for batch in list_batches(trainer, steps))
    operators = sorted(profiler.key_averages(), key=lambda op: -op.self_cpu_time_total)
    total = sum(op.self_cpu_time_total for op in operators)
    shares = {op.key: round(op.self_cpu_time_total / total, 3) for op in operators[:PROFILED_OPS]}
    return {"augmentation": round(augmentation / whole, 3), "operators": shares}


def _time(work, *arguments) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started
