"""The errors that a user can mend.

Each message is one sentence or two: what was got, what was expected, what to do. The command line
prints the message on standard error and exits with `exit_code`; it never shows a traceback for them.
"""


class PneumoError(Exception):
    """Something outside the program stopped the run: a file, a folder, a disk, a checkpoint."""

    exit_code = 1


class UsageError(PneumoError):
    """The request itself cannot be met: an unknown name or a value out of range."""

    exit_code = 2


class ImageError(PneumoError):
    """One image cannot be read; the message is the reason, without the file's name."""


def first_line(error: BaseException) -> str:
    """What the system or another library says, cut to one line; the error's type where it says nothing.

    Of an OSError it is the reason alone: the sentence around it names the file.
    """
    lines = str(getattr(error, "strerror", None) or error).splitlines()
    return lines[0][:160] if lines else type(error).__name__
