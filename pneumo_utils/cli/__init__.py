"""The `pneumo` command, and what its commands share.

Nothing heavy is imported before a command runs, so that `pneumo --help` answers at once. Results go to
standard output, everything else to standard error.
"""

import argparse
import errno
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from pneumo_utils import __version__
from pneumo_utils.config import DEFAULT_MODEL, Folders, default_folders
from pneumo_utils.errors import PneumoError, UsageError, first_line

NO_NAME_ON_WINDOWS = re.compile(r'.*[<>:"|?*].*|(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE)


def main(words: list[str] | None = None) -> int:
    """Runs one command; `words` are those after `pneumo`, of the process if None. Returns the exit code."""
    from pneumo_utils.cli import data, training, using

    parser = argparse.ArgumentParser(
        prog="pneumo", description="Pneumonia detection from chest X-rays. For teaching, never for diagnosis."
    )
    parser.add_argument("--version", action="version", version=f"pneumo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for module in (training, using, data):
        module.add_commands(commands)
    return run(parser, words)


def run(parser: argparse.ArgumentParser, words: list[str] | None) -> int:
    """Calls what the chosen command has set as `run`, and says in one sentence what a user can mend.

    Returns the exit code: 0, 1 (the run failed), 2 (the request cannot be met), 130 (stopped by hand) or
    141 (whoever read the output has gone, as `head` does).
    """
    outputs = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    for stream in outputs:
        stream.reconfigure(errors="backslashreplace")  # a name may hold what the output cannot show
    try:
        try:
            arguments = parser.parse_args(words)
            arguments.run(arguments)
        finally:
            print(end="", flush=True)  # an output that cannot be written fails here
        return 0
    except PneumoError as error:
        say(f"{parser.prog}: {error}")
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pneumo_utils"):
            raise
        say(f'{parser.prog}: {error.name} is missing. Install it with `pip install "pneumo-utils[course]"`.')
        return 1
    except BrokenPipeError:
        return 141
    except OSError as error:
        if (sys.platform, error.errno, error.filename) == ("win32", errno.EINVAL, None):
            return 141  # what a broken pipe is called there
        name = f" ({error.filename})" if error.filename else ""
        say(f"{parser.prog}: {first_line(error)}{name}. Check the disk, the path and its rights.")
        return 1
    except KeyboardInterrupt:
        say(f"{parser.prog}: stopped.")
        return 130
    finally:
        for stream in outputs:
            _drop_unwritten(stream)


def _drop_unwritten(stream: io.TextIOWrapper) -> None:
    try:
        stream.flush()
    except OSError:  # Python would try again at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    """One line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def add_command(commands, name: str, run, *, text: str) -> argparse.ArgumentParser:
    """Adds a command that calls `run`; returns its parser."""
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(run=run)
    return parser


def add_flag(parser: argparse.ArgumentParser, name: str, **settings) -> None:
    """Adds `--two_words`, and `--two-words` for the same."""
    parser.add_argument(*dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]), **settings)


def add_model_flag(parser: argparse.ArgumentParser, **settings) -> None:
    """Adds `--model`."""
    names = "cnn_baseline, cnn_distilled, resnet_finetune, resnet_distilled, efficientnet_lite0_finetune, or "
    names += "timm_NAME of a backbone of timm"
    add_flag(parser, "model", help=names, **settings)


def add_checkpoint_flags(parser: argparse.ArgumentParser, **settings) -> None:
    """Adds `--model` and what `load_model` takes beside it."""
    add_model_flag(parser, **settings)
    add_flag(parser, "checkpoint_path", type=Path, help="your own; else the one that ships")
    add_flag(parser, "shipped", action="store_true", help="the model that ships, even if you have your own")


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Adds which films are read, at which size, and where results go."""
    sources = "auto, a source (chestxray2017, pneumoniamnist, synthetic) or a folder"
    add_flag(parser, "data", default="auto", help=sources)
    add_flag(parser, "image_size", type=int, help="height and width of the input, pixels")
    add_flag(parser, "output_dir", type=Path, help="holds checkpoints, plots, build; the project's folder")
    text = "machine-readable result on standard output, nothing else there"
    add_flag(parser, "json", action="store_true", help=text)


def name_output(suffix: str) -> Callable[[str], Path]:
    """For `type` of a flag: the path of a file to write, refused before anything is computed for it."""

    def check(text: str) -> Path:
        path = Path(text).absolute()
        found = next((place for place in (path, *path.parents) if place.exists()), path)  # or no such drive
        is_free = found.is_file() if found == path else found.is_dir()
        is_free &= sys.platform != "win32" or not NO_NAME_ON_WINDOWS.fullmatch(path.name)
        if path.suffix.lower() != suffix or not is_free:
            raise UsageError(
                f"{text} is no place for a result; expected a file that ends in {suffix} (no folder, pipe or "
                "device), in a folder. Name another."
            )
        return Path(text)

    return check


def get_folders(arguments: argparse.Namespace) -> Folders:
    """The folders below `--output_dir`, else the project's own."""
    output_dir = getattr(arguments, "output_dir", None)
    return Folders(output_dir) if output_dir else default_folders()


def load_model(arguments: argparse.Namespace):
    """The checkpoint that `--model`, `--checkpoint_path`, `--shipped` and `--image_size` ask for.

    Where no model is named, it is that of the checkpoint, or `DEFAULT_MODEL` if none is named either.
    """
    from pneumo_utils.models.checkpoint import require_match
    from pneumo_utils.models.shipped import find_checkpoint, load_shipped

    named, image_size = arguments.checkpoint_path, getattr(arguments, "image_size", None)
    name = arguments.model or DEFAULT_MODEL
    if arguments.shipped and named:
        raise UsageError("--shipped and --checkpoint_path were both given; expected one of them.")
    if arguments.shipped:
        checkpoint = load_shipped(name)
    elif named:
        checkpoint = find_checkpoint(arguments.model or None, named, is_named=True, say=say)
    else:
        checkpoint = find_checkpoint(name, get_folders(arguments).checkpoint(name), say=say)
    require_match("The checkpoint", "image size", checkpoint.config.image_size, image_size, "--image-size")
    return checkpoint


def say_skipped(dataset) -> None:
    """Names the damaged films that were left out."""
    if dataset.skipped:
        names = ", ".join(dataset.skipped[:5]) + (" ..." if len(dataset.skipped) > 5 else "")
        say(f"{len(dataset.skipped)} damaged films of the {dataset.split} split were left out: {names}")
