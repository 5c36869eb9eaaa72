"""`pneumo train`, `pneumo lr` and `pneumo ablation`."""

import json
from pathlib import Path

from pneumo_utils.cli.common import MODEL_HELP, add_common, flag, get_folders, say, say_skipped
from tools import ablation


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    for add in (_add_train, _add_lr, _add_ablation):
        add(commands)


def _add_train(commands) -> None:
    parser = commands.add_parser("train", help="train a model", description="Train a model.")
    flag(parser, "model", required=True, help=MODEL_HELP)
    parser.add_argument("--epochs", "--num_epochs", "--num-epochs", type=int, help="most epochs")
    _add_recipe_flags(parser)
    flag(
        parser,
        "resume",
        action="store_true",
        help="go on after the last epoch of the same run, if it was cut off",
    )
    add_common(parser)
    parser.set_defaults(run=_train)


def _add_recipe_flags(parser) -> None:
    flag(parser, "batch_size", type=int, help="films in one step")
    flag(parser, "lr", type=float, help="peak learning rate")
    flag(parser, "strategy", help="of a pretrained backbone: auto, frozen, two_stage or full")
    flag(parser, "weights", type=Path, help="ImageNet weights, a file as it is published")
    flag(
        parser,
        "random_start",
        dest="pretrained",
        action="store_const",
        const=False,
        help="no ImageNet weights, even where there are some",
    )
    flag(parser, "mixup", type=float, help="how strongly films are blended in pairs; 0 for not at all")
    flag(parser, "balance", help="of the classes: weights, sampling or none")
    flag(parser, "seed", type=int, help="of weights, order and augmentation")


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
    if not accelerator.is_main_process:
        return
    save_history(result.history, folders.history(config.model))
    checkpoint = result.checkpoint
    summary = {
        "model": config.model,
        "checkpoint": str(path),
        "data": train.source,
        "num_skipped": len(train.skipped),
        "pretrained": checkpoint.pretrained,
        "strategy": checkpoint.config.strategy,
        "threshold": checkpoint.threshold,
        "screening_threshold": checkpoint.screening_threshold,
        "flip_average": checkpoint.flip_average,
        "val": checkpoint.val_metrics,
    }
    text = (
        f"Kept epoch {checkpoint.val_metrics['epoch']} with validation AUROC "
        f"{checkpoint.val_metrics['auroc']:.4f}, threshold {checkpoint.threshold:.3f}: {path}"
    )
    print(json.dumps(summary) if arguments.json else text)


def _add_lr(commands) -> None:
    text = "find a learning rate: a short run in which it rises until the loss explodes"
    parser = commands.add_parser("lr", help=text, description=f"{text.capitalize()}.")
    flag(parser, "model", required=True, help=MODEL_HELP)
    flag(parser, "steps", type=int, default=100, help="most steps, 10 or more")
    _add_recipe_flags(parser)
    add_common(parser)
    parser.set_defaults(run=_find_lr)


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


def _add_ablation(commands) -> None:
    text = "train and judge recipes and variants over several seeds"
    parser = commands.add_parser("ablation", help=text, description=f"{text.capitalize()}.")
    flag(parser, "rows", nargs="+", help="recipes and rows of the ablation; all rows if left out")
    flag(parser, "seeds", nargs="+", type=int, default=[0, 1, 2], help="0 1 2 if left out")
    flag(parser, "keep", action="store_true", help="keep the checkpoints, in checkpoints/seeds")
    flag(parser, "store", action="store_true", help="also write results/ablation.json")
    flag(parser, "data", default="auto", help="auto, a source or a folder")
    flag(parser, "output_dir", type=Path, help="where checkpoints and build go; the project's folder")
    parser.set_defaults(run=_ablation)


def _ablation(arguments) -> None:
    from pneumo_utils.data.sources import choose_data
    from pneumo_utils.evaluation import results
    from tools.ablation import ABLATION

    folders, choice = get_folders(arguments), choose_data(arguments.data)
    say(choice.sentence)
    ablation.run_ablation(
        ABLATION if arguments.rows is None else arguments.rows,
        arguments.seeds,
        choice=choice,
        folder=folders.build / "ablation",
        keep=folders.seed_checkpoint if arguments.keep else None,
        say=say,
    )
    records = ablation.gather_records(folders.build / "ablation", folders.build / "ablation.json")
    if arguments.store:
        ablation.gather_records(folders.build / "ablation", folders.stored_ablation)
    print(results.format_summary(results.summarise(records)))
