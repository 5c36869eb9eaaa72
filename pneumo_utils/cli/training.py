"""`pneumo train` and `pneumo lr`."""

import json
from pathlib import Path

from pneumo_utils.cli import (
    add_command,
    add_data_flags,
    add_flag,
    add_model_flag,
    get_folders,
    say,
    say_skipped,
)


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    train = add_command(commands, "train", _train, text="train a model")
    train.add_argument("--epochs", "--num_epochs", "--num-epochs", type=int, help="most epochs")
    add_flag(train, "resume", action="store_true", help="go on with a run that was cut off")
    text = "find a learning rate: a short run in which it rises until the loss explodes"
    lr = add_command(commands, "lr", _find_lr, text=text)
    add_flag(lr, "steps", type=int, default=100, help="most steps, 10 or more")
    for parser in (train, lr):
        _add_recipe_flags(parser)
        add_data_flags(parser)


def _add_recipe_flags(parser) -> None:
    add_model_flag(parser, required=True)
    add_flag(parser, "batch_size", type=int, help="films in one step")
    add_flag(parser, "lr", type=float, help="peak learning rate")
    add_flag(parser, "strategy", help="of a pretrained backbone: auto, frozen, two_stage or full")
    add_flag(parser, "weights", type=Path, help="ImageNet weights, a file as it is published")
    switch = {"dest": "pretrained", "action": "store_const", "const": False}
    add_flag(parser, "random_start", **switch, help="no ImageNet weights, even where there are some")
    add_flag(parser, "mixup", type=float, help="how strongly films are blended in pairs; 0 for not at all")
    add_flag(parser, "balance", help="of the classes: weights, sampling or none")
    add_flag(parser, "seed", type=int, help="of weights, order and augmentation")


def _make_config(arguments, **changes):
    from pneumo_utils.config import shorten
    from pneumo_utils.training.recipes import make_config

    names = ("batch_size", "lr", "strategy", "pretrained", "mixup", "balance", "seed", "image_size")
    changes |= {name: getattr(arguments, name) for name in names}
    return shorten(make_config(arguments.model, **changes))


def _train(arguments) -> None:
    config, folders = _make_config(arguments, num_epochs=arguments.epochs), get_folders(arguments)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.runtime import make_accelerator
    from pneumo_utils.training.fit import fit
    from pneumo_utils.training.resume import save_history

    accelerator = make_accelerator()
    choice = choose_data(arguments.data)
    with accelerator.main_process_first():  # it decodes, the others find the films in the cache
        train, val = (load_split(choice, split, image_size=config.image_size) for split in ("train", "val"))
    if accelerator.is_main_process:
        say(choice.sentence)
        say_skipped(train)
    path = folders.checkpoint(config.model)
    files = {"weights_path": arguments.weights, "checkpoint_path": path}
    result = fit(config, train, val=val, **files, resume=arguments.resume, say=say)
    if accelerator.is_main_process:
        save_history(result.history, folders.history(config.model))
        _show_training(result.checkpoint, train, path, as_json=arguments.json)


def _show_training(checkpoint, train, path: Path, *, as_json: bool) -> None:
    val = checkpoint.val_metrics
    if not as_json:
        scores = f"validation AUROC {val['auroc']:.4f}, threshold {checkpoint.threshold:.3f}"
        print(f"Kept epoch {val['epoch']} with {scores}: {path}")
        return
    summary = {
        "model": checkpoint.config.model,
        "checkpoint": str(path),
        "data": train.source,
        "num_skipped": len(train.skipped),
        "pretrained": checkpoint.pretrained,
        "strategy": checkpoint.config.strategy,
        "threshold": checkpoint.threshold,
        "screening_threshold": checkpoint.screening_threshold,
        "flip_average": checkpoint.flip_average,
        "val": val,
    }
    print(json.dumps(summary))


def _find_lr(arguments) -> None:
    config = _make_config(arguments)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.plots.style import save_figure
    from pneumo_utils.plots.training import plot_lr_curve
    from pneumo_utils.training.lr_finder import find_lr

    choice = choose_data(arguments.data)
    say(choice.sentence)
    train = load_split(choice, "train", image_size=config.image_size)
    curve = find_lr(config, train, weights_path=arguments.weights, num_steps=arguments.steps, say=say)
    figure = plot_lr_curve(curve, title=config.model, synthetic=train.is_synthetic)
    path = save_figure(figure, get_folders(arguments).plots / f"lr_{config.model}.png")
    summary = {"model": config.model, "suggestion": curve.suggestion, "figure": str(path)}
    summary |= {"lrs": curve.lrs.tolist(), "losses": curve.losses.tolist()}
    text = f"The loss falls most steeply at a rate of {curve.suggestion:.1e}; the curve is in {path}"
    print(json.dumps(summary) if arguments.json else text)
