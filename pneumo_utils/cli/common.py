"""What the commands share: flags, folders and lines for people."""

import sys
from pathlib import Path

MODEL_HELP = "cnn_baseline, resnet_finetune, efficientnet_lite0_finetune, or timm_NAME of a backbone of timm"


def say(text: str) -> None:
    """One line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def flag(parser, name: str, **settings) -> None:
    """Adds `--two_words` with its hyphen spelling."""
    spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
    parser.add_argument(*spellings, **settings)


def add_common(parser) -> None:
    """Adds what training and judging share."""
    flag(
        parser,
        "data",
        default="auto",
        help="auto, a source (chestxray2017, pneumoniamnist, synthetic) or a folder",
    )
    flag(parser, "image_size", type=int, help="height and width of the input, pixels")
    flag(parser, "output_dir", type=Path, help="where checkpoints, plots and build go; the project's folder")
    flag(
        parser,
        "json",
        action="store_true",
        help="machine-readable result on standard output, nothing else there",
    )


def get_folders(arguments):
    """The folders below `--output_dir`, else the project's own."""
    from pneumo_utils.config import Folders, default_folders

    return Folders(arguments.output_dir) if arguments.output_dir else default_folders()


def find_model(arguments):
    """The checkpoint that `--model`, `--checkpoint_path`, `--shipped` and `--image_size` ask for."""
    from pneumo_utils.models.checkpoint import require_match
    from pneumo_utils.models.shipped import find_checkpoint, load_shipped

    named, image_size = arguments.checkpoint_path, getattr(arguments, "image_size", None)
    if arguments.shipped:
        checkpoint = load_shipped(arguments.model)
    else:
        path = named or get_folders(arguments).checkpoint(arguments.model)
        checkpoint = find_checkpoint(arguments.model, path, is_named=named is not None, say=say)
    require_match("The checkpoint", "image size", checkpoint.config.image_size, image_size, "--image-size")
    return checkpoint


def say_skipped(dataset) -> None:
    """Names the damaged films that were left out."""
    if dataset.skipped:
        names = ", ".join(dataset.skipped[:5]) + (" ..." if len(dataset.skipped) > 5 else "")
        say(f"{len(dataset.skipped)} damaged films of the {dataset.split} split were left out: {names}")
