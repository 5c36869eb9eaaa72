"""The set-up cell and all lessons as a reader meets them on Colab: a machine that has most packages already.

What stands in for Colab: a Python of its own that finds the installed packages, but ipywidgets 7 and not what
Colab lacks; `google.colab` in every kernel; a folder as Google Drive; and each lesson alone in an empty
folder. git takes this checkout in place of the address; pip is the real one.
"""

import os
import subprocess
import sys
import sysconfig
import time
import venv
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import pytest
from conftest import COLAB_WIDGETS, PATIENCE_S, ROOT
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from lessons import ADDRESS, LESSONS, NOTEBOOKS, SHORT_MODE, list_missing, run_notebooks

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("heavy")]
pytestmark += [pytest.mark.skipif(sys.platform != "linux", reason="Colab is Linux")]
LACKING = set((NOTEBOOKS / "colab.txt").read_text(encoding="utf-8").splitlines()[1:])
PRESENT = {"onnxruntime", "imagecodecs"}
"""Taken as if Colab had them by now: the set-up cell has to leave them alone."""
SITE = Path(sysconfig.get_path("purelib"))


@dataclass
class Colab:
    """The emulated machine.

    Attributes:
        root: Holds its Python, what is installed beside it, its Drive and the repository.
        settings: The environment of its processes.
    """

    root: Path
    settings: dict[str, str]

    @property
    def python(self) -> Path:
        return self.root / "venv" / "bin" / "python"

    @property
    def own(self) -> Path:
        """Where pip installs."""
        return next((self.root / "venv" / "lib").glob("python*/site-packages"))


@pytest.fixture(scope="module")
def colab(tmp_path_factory, colab_widgets) -> Colab:
    """A machine on which nothing of the project has been installed."""
    root = tmp_path_factory.mktemp("colab")
    venv.create(root / "venv", with_pip=True)
    machine = Colab(root, make_settings(root))
    words = [machine.python, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "flatbuffers"]
    if subprocess.run(words, env=machine.settings, capture_output=True).returncode:
        pytest.skip("pip finds no packages here")
    link_system(root / "system")
    paths = [ROOT / "tests" / "colab", colab_widgets, root / "system"]
    (machine.own / "colab.pth").write_text(
        "\n".join(map(str, paths)) + "\nimport google.colab\n", encoding="utf-8"
    )
    run(machine.python, "-m", "ipykernel", "install", "--sys-prefix", env=machine.settings)
    (root / "drive").mkdir()
    copy_checkout(root / "repository")
    return machine


def run(*words, **settings) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True, **settings)


def make_settings(root: Path) -> dict[str, str]:
    """The outer settings without Python's, the short mode, and git's that turn the address into a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PNEUMO_", "PYTHON"))}
    own = {
        "PATH": f"{root / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "EMULATED_DRIVE": str(root / "drive"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(root / 'repository').as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }
    return kept | SHORT_MODE | own


def link_system(folder: Path) -> None:
    """Links to the installed packages but those that Colab lacks or has in another version.

    The folder is no part of the emulated Python, so that pip can never remove what the links lead to.
    """
    folder.mkdir()
    hidden = (LACKING - PRESENT) | {"pneumo-utils", "ipywidgets"}
    hidden_files = {file.parts[0] for name in hidden for file in distribution(name).files}
    for path in SITE.iterdir():
        if path.name not in hidden_files:
            (folder / path.name).symlink_to(path)


def copy_checkout(repository: Path) -> None:
    """A repository with one commit: the files of this checkout as they are, but those that git ignores."""
    run("git", "init", "--quiet", repository)
    here = ["git", f"--git-dir={repository / '.git'}", f"--work-tree={ROOT}"]
    run(*here, "add", "--all", cwd=ROOT)
    run(*here, "-c", "user.name=-", "-c", "user.email=-", "commit", "--quiet", "--message=all", cwd=ROOT)


def read_lesson(name: str, *, on_drive: bool):
    """A lesson as a reader has it who has or has not turned the switch in the set-up cell."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    if on_drive:
        assert "KEEP_ON_DRIVE = False" in notebook.cells[2].source
        notebook.cells[2].source = notebook.cells[2].source.replace(
            "KEEP_ON_DRIVE = False", "KEEP_ON_DRIVE = True"
        )
    return notebook


class Kernel:
    """A kernel on that machine, started in an empty folder."""

    def __init__(self, colab: Colab, folder: Path):
        specs = KernelSpecManager(kernel_dirs=[str(colab.root / "venv" / "share" / "jupyter" / "kernels")])
        self.manager = KernelManager(kernel_name="python3", kernel_spec_manager=specs)
        self.manager.start_kernel(cwd=str(folder), env=colab.settings)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def run(self, source: str) -> str:
        """Runs a cell and gives what it printed."""
        said = []
        reply = self.client.execute_interactive(
            source,
            timeout=PATIENCE_S,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said)

    def ask(self, expression: str) -> str:
        """The value of an expression, as text."""
        return self.run(f"print({expression})").strip()


@pytest.fixture
def kernel(colab, tmp_path):
    folder = tmp_path / "content"
    folder.mkdir()
    kernel = Kernel(colab, folder)
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def list_times(site: Path) -> dict[str, int]:
    """When each package below a folder was installed, by its name."""
    found = {path.name.split("-")[0]: path.stat().st_mtime_ns for path in site.glob("*.dist-info")}
    return {name.lower().replace("_", "-"): time_ns for name, time_ns in found.items()}


def test_the_set_up_cell_brings_what_is_missing_and_touches_nothing_else(colab, kernel, tmp_path):
    setup, on_drive = (read_lesson(LESSONS[0], on_drive=switch).cells[2].source for switch in (False, True))
    content, system, bare = tmp_path / "content", list_times(SITE), list_times(colab.own)
    assert {"torch", "numpy", "ipywidgets"} <= set(system)

    started = time.perf_counter()
    kernel.run(setup)
    print(f"the set-up cell took {time.perf_counter() - started:.1f} s")
    first = list_times(colab.own)
    assert set(first) - set(bare) == (LACKING - PRESENT) | {"pneumo-utils"}
    assert list_times(SITE) == system
    assert kernel.ask("__import__('ipywidgets').__version__") == COLAB_WIDGETS
    kernel.run("import captum, imagehash, medmnist, anywidget, pydicom, pneumo_utils.config")
    assert kernel.ask("pneumo_utils.__path__[0]") == str(content / "pneumo" / "pneumo_utils")
    assert kernel.ask("pneumo_utils.config.default_folders().root") == str(content)

    for _ in range(2):
        kernel.run(on_drive)
        home = kernel.ask("pneumo_utils.config.default_folders().root")
        assert home == str(content / "drive" / "MyDrive" / "pneumo")
    again = list_times(colab.own)
    assert {name for name in again if again[name] != first.get(name)} <= {"pneumo-utils"}
    assert sorted(path.name for path in content.iterdir()) == ["drive", "pneumo"]
    assert not (content / "pneumo" / "pneumo").exists()


def test_the_lessons_run_each_on_a_new_machine_with_the_drive_between_them(colab, tmp_path):
    paths = [tmp_path / name.removesuffix(".ipynb") / name for name in LESSONS]
    for path in paths:
        path.parent.mkdir()
        nbformat.write(read_lesson(path.name, on_drive=True), path)
    run_notebooks(str(colab.python), paths, environment=colab.settings)
    assert list_missing(colab.root / "drive" / "pneumo") == []
    for path in paths:
        assert sorted(p.name for p in path.parent.iterdir()) == sorted([path.name, "drive", "pneumo"])
