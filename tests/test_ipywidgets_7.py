"""The tests of the upload panel once more, under the ipywidgets that Colab has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COLAB_WIDGETS, ROOT

pytestmark = pytest.mark.system
TESTS = ("test_uploads.py", "test_front.py", "test_panel.py")
PRINT_VERSION = "import ipywidgets; print(ipywidgets.__version__)"


def test_the_panel_works_under_it_as_well(colab_widgets):
    environment = os.environ | {"PYTHONPATH": str(colab_widgets)}
    words = [sys.executable, "-W", "ignore::DeprecationWarning"]
    shown = subprocess.run([*words, "-c", PRINT_VERSION], env=environment, capture_output=True, text=True)
    assert shown.stdout.strip() == COLAB_WIDGETS
    paths = [str(Path(__file__).parent / name) for name in TESTS]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:warnings"]
    done = subprocess.run(
        [*words, "-m", "pytest", *options, *paths], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-5000:]
