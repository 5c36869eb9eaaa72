"""`pip install pneumo-utils` alone: films are answered for without torch, and what is missing is named."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from conftest import ROOT, make_chest_film
from packaging.requirements import Requirement
from PIL import Image

from pneumo_utils.models import shipped

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
BLOCKER = '''"""Hides every installed module but those of the light install."""
import sys

LIGHT = set({light!r})

class Blocker:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in LIGHT and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {{root!r}}", name=root)

sys.meta_path.insert(0, Blocker())
'''


def list_modules(requirements: list[str]) -> set[str]:
    """The top modules of packages and of all that these need."""
    found, waiting = {}, list(map(Requirement, requirements))
    while waiting:
        asked = waiting.pop()
        if asked.name not in found and (asked.marker is None or asked.marker.evaluate({"extra": ""})):
            package = distribution(asked.name)
            found[asked.name] = {file.parts[0].removesuffix(".py").split(".")[0] for file in package.files}
            waiting += map(Requirement, package.requires or [])
    return set().union(*found.values())


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict[str, str]:
    """The environment of a process that finds no other packages than those of the light install."""
    folder = tmp_path_factory.mktemp("light")
    light = list_modules(DEPENDENCIES) | {"pneumo_utils", "sitecustomize"}
    assert not light & {"torch", "pandas", "scipy", "matplotlib"}
    (folder / "sitecustomize.py").write_text(BLOCKER.format(light=sorted(light)), encoding="utf-8")
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PNEUMO_HOME": str(folder)}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.png"
    Image.fromarray(make_chest_film(1)).save(path)
    return path


def ask(python: Path | str, *words, **settings) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python, "-m", "pneumo_utils", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        **settings,
    )


def read_answer(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    del answer["time_s"]
    return answer


@pytest.mark.system
@pytest.mark.parametrize("name", shipped.list_shipped())
def test_every_model_that_ships_answers_as_in_the_whole_install(settings, film, name):
    words = ("inference", film, "--model", name, "--shipped", "--json")
    light = read_answer(ask(sys.executable, *words, env=settings))
    assert light == read_answer(ask(sys.executable, *words, cwd=ROOT)) and light["status"] == "ok"


@pytest.mark.system
def test_a_folder_becomes_a_table(settings, film, tmp_path):
    done = ask(sys.executable, "inference", film.parent, "--csv", tmp_path / "answers.csv", env=settings)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.system
@pytest.mark.parametrize(
    "words",
    [
        "train --model cnn_baseline",
        "lr --model cnn_baseline",
        "eval --model cnn_baseline",
        "export --model cnn_baseline --output a.onnx",
        "inference film.png --checkpoint_path {own}",
        "app",
        "course",
        "data download",
        "data audit {films}",
    ],
)
def test_what_needs_more_names_the_extra(settings, film, tmp_path, words):
    own = tmp_path / "own.pth"
    own.write_bytes(b"a checkpoint")
    done = ask(sys.executable, *words.format(films=film.parent, own=own).split(), env=settings, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(r'\w+ is missing. Install it with `pip install "pneumo-utils\[course\]"`.$', done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_bare_environment_answers_for_a_film(film, tmp_path, kind):
    """Builds as a release does; with PNEUMO_DIST it takes what lies in that folder."""
    dist = Path(os.environ.get("PNEUMO_DIST", tmp_path / "dist"))
    if "PNEUMO_DIST" not in os.environ:
        run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
    (package,) = dist.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    venv.create(tmp_path / "bare", with_pip=True)
    python = next((tmp_path / "bare").glob("[bS]*/python*"))
    site = next((tmp_path / "bare").rglob("site-packages"))
    before = measure(site)
    run(python, "-m", "pip", "install", "--quiet", package)
    print(f"{kind}: {measure(site) - before:.0f} MB installed, {package.stat().st_size / 1e6:.0f} MB packed")
    words = ("inference", film, "--json")
    for _ in range(2):
        started = time.perf_counter()
        answer = read_answer(ask(python, *words, cwd=tmp_path))
        print(f"{time.perf_counter() - started:.2f} s from the command to the answer")
    assert answer == read_answer(ask(sys.executable, *words, "--shipped", cwd=ROOT))


def run(*words) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


def measure(folder: Path) -> float:
    """Size of all files below, MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
