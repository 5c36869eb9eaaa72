"""The `pneumo` command: one module for each group of commands.

Nothing heavy is imported before a command runs, so that `pneumo --help` answers at once. Results go to
standard output, everything else to standard error.
"""

import argparse

from pneumo_utils import __version__
from pneumo_utils.cli import (
    benchmarking,
    data,
    evaluating,
    exporting,
    guarding,
    inference,
    lessons,
    tables,
    training,
)
from pneumo_utils.cli.common import say
from pneumo_utils.errors import PneumoError


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


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pneumo", description="Pneumonia detection from chest X-rays. For teaching, never for diagnosis."
    )
    parser.add_argument("--version", action="version", version=f"pneumo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for part in (training, lessons, evaluating, tables, inference, exporting, guarding, benchmarking, data):
        part.add_commands(commands)
    return parser
