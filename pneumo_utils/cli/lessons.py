"""`pneumo course` and `pneumo address`."""

from pneumo_utils.cli.common import flag


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    parser = commands.add_parser(
        "course", help="run the five lessons", description="Run the five lessons in order."
    )
    flag(parser, "store", action="store_true", help="also write the outputs into notebooks/")
    parser.set_defaults(run=_course)
    text = "write the repository's address, as pyproject.toml has it, into lessons and pages"
    parser = commands.add_parser("address", help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(run=_address)


def _course(arguments) -> None:
    from pneumo_utils.course import run_course

    run_course(store=arguments.store)


def _address(arguments) -> None:
    from pneumo_utils.address import write_address
    from pneumo_utils.config import default_folders

    print(write_address(default_folders()))
