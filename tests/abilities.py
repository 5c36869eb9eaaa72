"""What this system can do that others cannot, tried out; tests of it are skipped elsewhere."""

import os
import tempfile

import pytest


def can_make(make) -> bool:
    """Whether this system lets `make` do its work in a folder, given as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            make(os.fsencode(folder))
        except (OSError, ValueError, AttributeError):
            return False
    return True


LINKS = can_make(lambda folder: os.symlink(folder, folder + b"/link", target_is_directory=True))
"""Few have the right to make links on Windows."""
PIPES = can_make(lambda folder: os.mkfifo(folder + b"/pipe"))
ANY_NAMES = can_make(lambda folder: os.mkdir(folder + b'/\xff\n"<>'))
"""Bytes that are no text are a name on Linux alone, and Windows refuses these signs too."""
needs_links = pytest.mark.skipif(not LINKS, reason="needs the right to make links")
needs_pipes = pytest.mark.skipif(not PIPES, reason="needs pipes that have a name")
needs_any_names = pytest.mark.skipif(not ANY_NAMES, reason="needs names of any bytes")
