"""Seeds, versions, files written whole, and shown sources."""

import os
import random
import re
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version

import numpy as np
import pytest
import torch

from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.runtime import (
    get_versions,
    lock_file,
    require_writable,
    set_seed,
    show_banner,
    write_atomically,
)


def test_a_seed_repeats_every_generator():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    set_seed(5)
    first = draw()
    set_seed(5)
    assert draw() == first
    set_seed(6)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


def test_a_file_is_written_whole_into_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "values.json"
    for text in ("first", "second"):
        write_atomically(path, lambda file, text=text: file.write(text.encode()))
        assert path.read_text(encoding="utf-8") == text and list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "values.json"
    path.write_text("old", encoding="utf-8")

    def fail(file):
        file.write(b"half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, fail)
    assert path.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.system
def test_a_lock_is_refused_while_it_is_held_and_free_once_its_process_was_killed(tmp_path):
    path = tmp_path / "new" / "table.csv"
    hold = "import sys, time; from pathlib import Path; from pneumo_utils.runtime import lock_file\n"
    hold += "with lock_file(Path(sys.argv[1]), holder='x'): print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, path], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with (
            pytest.raises(PneumoError, match="is in use by a second run; "),
            lock_file(path, holder="a second run"),
        ):
            pass
        process.kill()
    for _ in range(2):
        with lock_file(path, holder="a second run"):
            pass


def test_a_lock_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "table.csv.lock").mkdir()
    with pytest.raises(OSError), lock_file(tmp_path / "table.csv", holder="a second run"):
        pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(2, "No such file", "a.png"), "No such file"),
        (OSError("cannot identify it\nat all"), "cannot identify it"),
        (OSError(), "OSError"),
    ],
)
def test_an_error_of_the_system_is_worded_without_its_number_and_never_as_none(error, expected):
    assert first_line(error) == expected


@pytest.mark.parametrize("place", ["file", "file/deeper/folder", "locked/new"])
def test_a_folder_that_cannot_be_written_to_is_named_and_none_is_made(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "locked").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "locked" and access(path, mode))
    asked, nearest = tmp_path / place, tmp_path / place.split("/")[0]
    sentence = re.escape(f"{asked}: {nearest} is no folder that may be ")
    with pytest.raises(PneumoError, match=f"{sentence}.*--output-dir"):
        require_writable(tmp_path, asked)
    require_writable(tmp_path / "some" / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "locked"]


def test_versions_are_those_installed():
    assert get_versions()["torch"] == version("torch")


def test_the_banner_names_data_date_device_mode_and_versions(capsys, monkeypatch):
    monkeypatch.setenv("PNEUMO_FAST", "1")
    show_banner("Data: ten films.")
    data, run, versions = capsys.readouterr().out.splitlines()
    assert data == "Data: ten films." and run.endswith("short mode on.") and "device " in run
    said = datetime.strptime(run.removeprefix("Run on ").split(",")[0], "%d %B %Y")
    assert abs(datetime.now() - said).days <= 1  # midnight may pass in between
    assert versions.startswith("python ") and f"torch {version('torch')}, " in versions


@pytest.mark.system
def test_importing_the_package_makes_no_folder_and_loads_nothing_heavy(tmp_path):
    program = (
        "import sys, os, pneumo_utils, pneumo_utils.config\n"
        "sys.exit(bool(os.listdir()) or any(n in sys.modules for n in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path).returncode == 0
