"""Silence of the image libraries while they read a file that may come from anyone.

What they warn, log or print about a file can quote it, and a film's file may name a patient.
"""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable

_LOGGERS = ("PIL", "pydicom")


class _Silence:
    """A block that several threads may be in: the first one in silences, the last one out restores.

    `warnings.catch_warnings` would leave the filters of one thread behind in another. For as long as
    anyone is inside, other code of the process is not heard either.
    """

    def __init__(self, silence: Callable[[], Callable[[], None]]):
        self._silence, self._lock, self._inside = silence, threading.Lock(), 0

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._restore = self._silence()
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore()


def _silence_python() -> Callable[[], None]:
    # An entry of its own: the plain "ignore" may be there already, set by somebody who wants to keep it.
    warnings.filterwarnings("ignore", message=r"[\s\S]*")
    filters, entry = warnings.filters, warnings.filters[0]
    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)

    def restore():
        if entry in filters:
            filters.remove(entry)
        for logger, level in levels.items():
            logger.setLevel(level)

    return restore


def _silence_native() -> Callable[[], None]:
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without standard error is silent already
        return lambda: None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)

    def restore():
        os.dup2(kept, 2)
        os.close(kept)

    return restore


quiet = _Silence(_silence_python)
"""`with quiet:` keeps warnings and log records of the image libraries inside."""

quiet_native = _Silence(_silence_native)
"""`with quiet_native:` keeps what a C library prints on standard error inside (libtiff does)."""
