"""A folder takes the place of the reader's Google Drive."""

import os
from pathlib import Path


def mount(mountpoint: str) -> None:
    """Like Colab's own it takes a folder that is not there yet, and says so when it is mounted already."""
    if (Path(mountpoint) / "MyDrive").is_dir():
        print(f"Drive already mounted at {mountpoint}")
        return
    Path(mountpoint).mkdir()
    (Path(mountpoint) / "MyDrive").symlink_to(os.environ["EMULATED_DRIVE"])
    print(f"Mounted at {mountpoint}")
