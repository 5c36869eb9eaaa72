"""`pneumo train` and `pneumo lr`."""

import json
from dataclasses import replace
from pathlib import Path

from pneumo_utils import cli


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    train = cli.add_command(commands, "train", _train, text="train a model")
    train.add_argument("--epochs", "--num_epochs", "--num-epochs", type=int, help="most epochs")
    cli.add_flag(train, "resume", action="store_true", help="go on with a run that was cut off")
    text = "find a learning rate: a short run in which it rises until the loss explodes"
    lr = cli.add_command(commands, "lr", _find_lr, text=text)
    cli.add_flag(lr, "steps", type=int, default=100, help="most steps, 10 or more")
    for parser in (train, lr):
        _add_recipe_flags(parser)
        cli.add_data_flags(parser)


def _add_recipe_flags(parser) -> None:
    cli.add_model_flag(parser, required=True)
    cli.add_flag(parser, "batch_size", type=int, help="films in one step")
    cli.add_flag(parser, "lr", type=float, help="peak learning rate")
    cli.add_flag(parser, "strategy", help="of a pretrained backbone: full, two_stage or frozen")
    cli.add_flag(parser, "weights", type=Path, help="ImageNet weights, a file as it is published")
    switch = {"dest": "pretrained", "action": "store_const", "const": False}
    cli.add_flag(parser, "random_start", **switch, help="no ImageNet weights, even where there are some")
    text = "how strongly films are blended in pairs; 0 for not at all"
    cli.add_flag(parser, "mixup", type=float, help=text)
    cli.add_flag(parser, "balance", help="of the classes: weights, sampling or none")
    cli.add_flag(parser, "seed", type=int, help="of weights, order and augmentation")


def _make_config(arguments, **typed):
    """The recipe, shortened in short mode, with what was typed in the place of either."""
    from pneumo_utils.config import shorten
    from pneumo_utils.training.recipes import make_config

    names = ("batch_size", "lr", "strategy", "pretrained", "mixup", "balance", "seed", "image_size")
    typed |= {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in typed.items() if value is not None}
    return replace(shorten(make_config(arguments.model)), **given)


def _train(arguments) -> None:
    config, folders = _make_config(arguments, num_epochs=arguments.epochs), cli.get_folders(arguments)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.models.shipped import find_checkpoint
    from pneumo_utils.runtime import make_accelerator, require_writable
    from pneumo_utils.training.fit import fit
    from pneumo_utils.training.recipes import TEACHER
    from pneumo_utils.training.resume import load_ended, save_history

    require_writable(folders.checkpoints, folders.build)
    accelerator = make_accelerator()
    choice = choose_data(arguments.data)
    teacher, sizes = None, {"train": config.image_size, "val": config.image_size}
    if config.model.endswith("_distilled"):
        teacher = find_checkpoint(TEACHER, folders.checkpoint(TEACHER), say=cli.say)
        sizes["train"] = max(config.image_size, teacher.transform.image_size)
    with accelerator.main_process_first():  # it decodes, the others find the films in the cache
        train, val = (load_split(choice, split, image_size=size) for split, size in sizes.items())
    if accelerator.is_main_process:
        cli.say(choice.sentence)
        cli.say_skipped(train)
    path = folders.checkpoint(config.model)
    checkpoint = load_ended(path, config, train, teacher=teacher) if arguments.resume else None
    if checkpoint is None:
        files = {"weights_path": arguments.weights, "checkpoint_path": path}
        result = fit(config, train, val=val, teacher=teacher, **files, resume=arguments.resume, say=cli.say)
        checkpoint = result.checkpoint
        if accelerator.is_main_process:
            save_history(result.history, folders.history(config.model))
    elif accelerator.is_main_process:
        cli.say(f"This run has ended: {path.name} stays as it is. To train anew, leave --resume out.")
    if accelerator.is_main_process:
        _show_training(checkpoint, train, path, as_json=arguments.json)


def _show_training(checkpoint, train, path: Path, *, as_json: bool) -> None:
    config, val = checkpoint.config, checkpoint.val_metrics
    if not as_json:
        scores = f"validation AUROC {val['auroc']:.4f}, threshold {checkpoint.threshold:.3f}"
        print(f"Kept epoch {val['epoch']} with {scores}: {path}")
        return
    summary = {"model": config.model, "checkpoint": str(path), "strategy": config.strategy}
    summary |= {"data": train.source, "num_skipped": len(train.skipped), "val": val}
    for name in ("pretrained", "threshold", "screening_threshold", "flip_average"):
        summary[name] = getattr(checkpoint, name)
    print(json.dumps(summary))


def _find_lr(arguments) -> None:
    config, folders = _make_config(arguments), cli.get_folders(arguments)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.plots.style import save_figure
    from pneumo_utils.plots.training import plot_lr_curve
    from pneumo_utils.runtime import require_writable
    from pneumo_utils.training.lr_finder import find_lr

    require_writable(folders.plots)
    choice = choose_data(arguments.data)
    cli.say(choice.sentence)
    train = load_split(choice, "train", image_size=config.image_size)
    curve = find_lr(config, train, weights_path=arguments.weights, num_steps=arguments.steps, say=cli.say)
    figure = plot_lr_curve(curve, title=config.model, synthetic=train.is_synthetic)
    path = save_figure(figure, folders.plots / f"lr_{config.model}.png")
    summary = {"model": config.model, "suggestion": curve.suggestion, "figure": str(path)}
    summary |= {"lrs": curve.lrs.tolist(), "losses": curve.losses.tolist()}
    text = f"The loss falls most steeply at a rate of {curve.suggestion:.1e}; the curve is in {path}"
    print(json.dumps(summary) if arguments.json else text)
