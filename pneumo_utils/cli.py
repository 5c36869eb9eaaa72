"""`pneumo train | eval | inference | data | results | course`: the package's functions, from a shell.

Nothing heavy is imported before a command runs, so that `pneumo --help` answers at once. Results go to
standard output, everything else to standard error.
"""

import argparse
import json
import sys
from pathlib import Path

from pneumo_utils import __version__
from pneumo_utils.errors import PneumoError

MODEL_HELP = "cnn_baseline or resnet_finetune"


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words after `pneumo`; those of the process if None.

    Returns:
        The exit code: 0, 1 (the run failed) or 2 (the request cannot be met).
    """
    arguments = _make_parser().parse_args(argv)
    try:
        arguments.run(arguments)
        return 0
    except PneumoError as error:
        say(f"pneumo: {error}")
        return error.exit_code
    except OSError as error:
        say(f"pneumo: {error.strerror or error} ({error.filename}). Check the disk, the path and its rights.")
        return 1
    except KeyboardInterrupt:
        say("pneumo: stopped.")
        return 130


def say(text: str) -> None:
    """One line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pneumo", description="Pneumonia detection from chest X-rays. For teaching, never for diagnosis."
    )
    parser.add_argument("--version", action="version", version=f"pneumo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (_add_train, _add_eval, _add_inference, _add_data, _add_results, _add_course):
        add(commands)
    return parser


def _flag(parser, name: str, **settings) -> None:
    """Adds `--two_words` with its hyphen spelling."""
    spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
    parser.add_argument(*spellings, **settings)


def _add_common(parser) -> None:
    _flag(
        parser,
        "data",
        default="auto",
        help="auto, a source (chestxray2017, pneumoniamnist, synthetic) or a folder",
    )
    _flag(parser, "image_size", type=int, help="height and width of the input, pixels")
    _flag(parser, "output_dir", type=Path, help="where checkpoints, plots and build go; the project's folder")
    _flag(
        parser,
        "json",
        action="store_true",
        help="machine-readable result on standard output, nothing else there",
    )


def _add_train(commands) -> None:
    parser = commands.add_parser("train", help="train a model", description="Train a model.")
    _flag(parser, "model", required=True, help=MODEL_HELP)
    parser.add_argument("--epochs", "--num_epochs", "--num-epochs", type=int, help="most epochs")
    _flag(parser, "batch_size", type=int, help="films in one step")
    _flag(parser, "lr", type=float, help="peak learning rate")
    _flag(parser, "strategy", help="of resnet_finetune: auto, frozen, two_stage or full")
    _flag(parser, "weights", type=Path, help="ImageNet weights, a file as torchvision downloads it")
    _flag(parser, "seed", type=int, help="of weights, order and augmentation")
    _add_common(parser)
    parser.set_defaults(run=_train)


def _train(arguments) -> None:
    from pneumo_utils.config import shorten
    from pneumo_utils.training.recipes import make_config

    config = make_config(
        arguments.model,
        num_epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        strategy=arguments.strategy,
        seed=arguments.seed,
        image_size=arguments.image_size,
    )
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.training.history import save_history
    from pneumo_utils.training.loop import fit

    config, folders = shorten(config), _folders(arguments)
    choice = choose_data(arguments.data)
    say(choice.sentence)
    train, val = (load_split(choice, split, image_size=config.image_size) for split in ("train", "val"))
    _say_skipped(train)
    path = folders.checkpoint(config.model)
    result = fit(config, train, val=val, weights_path=arguments.weights, checkpoint_path=path, say=say)
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
        "val": checkpoint.val_metrics,
    }
    text = (
        f"Kept epoch {checkpoint.val_metrics['epoch']} with validation AUROC "
        f"{checkpoint.val_metrics['auroc']:.4f}, threshold {checkpoint.threshold:.3f}: {path}"
    )
    print(json.dumps(summary) if arguments.json else text)


def _add_eval(commands) -> None:
    parser = commands.add_parser("eval", help="judge a trained model", description="Judge a trained model.")
    _flag(parser, "model", required=True, help=MODEL_HELP)
    _flag(parser, "checkpoint_path", type=Path, help="checkpoints/best_model_<model>.pth if left out")
    _flag(
        parser, "split", default="val", choices=("train", "val", "test"), help="val, unless test is asked for"
    )
    _add_common(parser)
    parser.set_defaults(run=_eval)


def _eval(arguments) -> None:
    from pneumo_utils.models.checkpoint import load_checkpoint

    folders = _folders(arguments)
    path = arguments.checkpoint_path or folders.checkpoint(arguments.model)
    checkpoint = load_checkpoint(path, model_name=arguments.model, image_size=arguments.image_size)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.evaluation.evaluate import evaluate
    from pneumo_utils.evaluation.results import format_table, save_result

    choice = choose_data(arguments.data)
    say(choice.sentence)
    dataset = load_split(choice, arguments.split, image_size=checkpoint.config.image_size)
    _say_skipped(dataset)
    row, _ = evaluate(checkpoint, dataset)
    save_result(row, folders.results)
    print(json.dumps(row) if arguments.json else format_table([row]))


def _add_inference(commands) -> None:
    parser = commands.add_parser("inference", help="answer for films", description="Answer for films.")
    _flag(parser, "model", required=True, help=MODEL_HELP)
    _flag(parser, "checkpoint_path", type=Path, help="checkpoints/best_model_<model>.pth if left out")
    _flag(parser, "image_path", nargs="+", required=True, type=Path, help="image files and folders of them")
    _flag(parser, "json", action="store_true", help="one JSON object a film on standard output")
    parser.set_defaults(run=_inference, output_dir=None)


def _inference(arguments) -> None:
    from pneumo_utils.models.checkpoint import load_checkpoint

    path = arguments.checkpoint_path or _folders(arguments).checkpoint(arguments.model)
    checkpoint = load_checkpoint(path, model_name=arguments.model)
    from pneumo_utils.inference.predictor import Predictor, list_images

    predictor = Predictor(checkpoint)
    for image_path in list_images(arguments.image_path):
        prediction = predictor.predict(image_path)
        print(json.dumps(prediction.to_dict()) if arguments.json else prediction.describe(), flush=True)


def _add_data(commands) -> None:
    parser = commands.add_parser(
        "data", help="get and describe the data", description="Get and describe the data."
    )
    actions = parser.add_subparsers(required=True, metavar="action")
    download = actions.add_parser(
        "download", help="fetch films: ChestXRay2017, 1.2 GB, unless told otherwise"
    )
    sources = ("chestxray2017", "pneumoniamnist")
    download.add_argument("source", nargs="?", default=sources[0], choices=sources)
    _flag(download, "image_size", type=int, default=64, help="of pneumoniamnist: 28, 64, 128 or 224")
    download.set_defaults(run=_data_download)
    info = actions.add_parser("info", help="say which data is taken, and count its films")
    _flag(info, "data", default="auto", help="auto, a source or a folder")
    info.set_defaults(run=_data_info)


def _data_download(arguments) -> None:
    from pneumo_utils.config import default_folders

    if arguments.source == "pneumoniamnist":
        from pneumo_utils.data import pneumoniamnist

        folder = default_folders().data / "medmnist"
        pneumoniamnist.download(folder, arguments.image_size)
    else:
        from pneumo_utils.data.download import download_chestxray2017

        folder = download_chestxray2017(default_folders().data)
    print(f"The films are in {folder}")


def _data_info(arguments) -> None:
    from pneumo_utils.config import FAST_IMAGE_SIZE
    from pneumo_utils.data.sources import choose_data, load_split

    choice = choose_data(arguments.data)
    print(choice.sentence)
    for split in ("train", "val", "test"):
        dataset = load_split(choice, split, image_size=FAST_IMAGE_SIZE)
        counts = ", ".join(f"{count} {name}" for name, count in dataset.class_counts().items())
        print(f"{split}: {len(dataset)} films ({counts}), {len(set(dataset.patients))} patients")


def _add_results(commands) -> None:
    parser = commands.add_parser(
        "results", help="show the results table", description="Show the results table."
    )
    _flag(parser, "results_path", type=Path, help="the results file; build/results.json if left out")
    _flag(parser, "write_page", type=Path, help="put the table between the marks of this Markdown page")
    parser.set_defaults(run=_results, output_dir=None)


def _results(arguments) -> None:
    from pneumo_utils.evaluation.results import format_table, load_results, write_table

    path = arguments.results_path or _folders(arguments).results
    rows = load_results(path)
    if not rows:
        raise PneumoError(f"{path} has no results yet. Run `make run`, or `pneumo train` and `pneumo eval`.")
    if arguments.write_page is not None:
        write_table(path, arguments.write_page)
    print(format_table(rows))


def _add_course(commands) -> None:
    parser = commands.add_parser(
        "course", help="run the five lessons", description="Run the five lessons in order."
    )
    _flag(parser, "store", action="store_true", help="also write the outputs into notebooks/")
    parser.set_defaults(run=_course)


def _course(arguments) -> None:
    from pneumo_utils.course import run_course

    run_course(store=arguments.store)


def _folders(arguments):
    from pneumo_utils.config import Folders, default_folders

    return Folders(arguments.output_dir) if arguments.output_dir else default_folders()


def _say_skipped(dataset) -> None:
    if dataset.skipped:
        names = ", ".join(dataset.skipped[:5]) + (" ..." if len(dataset.skipped) > 5 else "")
        say(f"{len(dataset.skipped)} damaged films of the {dataset.split} split were left out: {names}")
