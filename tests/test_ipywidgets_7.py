"""The tests of the upload panel once more, under the ipywidgets that Colab has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

VERSION = "7.7.1"
TESTS = ("test_uploads.py", "test_front.py", "test_panel.py")
PRINT_VERSION = "import ipywidgets; print(ipywidgets.__version__)"


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Settings under which Python finds that version before its own."""
    folder = ROOT / "build" / f"ipywidgets-{VERSION}"
    if not (folder / "ipywidgets").is_dir():
        words = ["install", "--quiet", "--no-deps", "--target", str(folder), f"ipywidgets=={VERSION}"]
        pip = [sys.executable, "-m", "pip", *words, "ipython-genutils==0.2.0"]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"ipywidgets {VERSION} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return os.environ | {"PYTHONPATH": str(folder)}


def test_the_panel_works_under_it_as_well(environment):
    words = [sys.executable, "-W", "ignore::DeprecationWarning"]
    shown = subprocess.run([*words, "-c", PRINT_VERSION], env=environment, capture_output=True, text=True)
    assert shown.stdout.strip() == VERSION
    paths = [str(Path(__file__).parent / name) for name in TESTS]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:warnings"]
    done = subprocess.run(
        [*words, "-m", "pytest", *options, *paths], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-5000:]
