"""What several test files share: films, a folder of them, and a quickly trained checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from pneumo_utils.config import Augmentation, EvalTransform, Folders, TrainConfig
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models import shipped
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.registry import build_model

ROOT = Path(__file__).resolve().parents[1]
REAL_FILMS = ROOT.parent / "shared" / "data" / "chest_xray_224"
COLAB_WIDGETS = "7.7.1"
"""The version of ipywidgets that Colab has."""
PATIENCE_S = 900
"""Of every wait: only what hangs reaches it, however busy the machine is."""
CLASSES = ("NORMAL", "PNEUMONIA")
STILL = Augmentation(**{name: 0.0 for name in Augmentation.__dataclass_fields__})
"""No random change at all."""


os.environ["PYTHONIOENCODING"] = "utf-8"  # what a program that a test starts prints, on every system
matplotlib.use("Agg")


def pytest_collection_modifyitems(items):
    """With pytest-xdist, one process takes a file; what is heavy goes first, one after the other."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group").args != ("heavy",))


@pytest.fixture
def closed_figures():
    """Closes what a test has drawn."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def list_kept(folder: Path) -> list[str]:
    """The names in a folder, sorted, without those of locks, which are removed on Windows."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def read_texts(figure) -> str:
    """All that is written in a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch):
    """Tests decide about data, folders and the short mode themselves."""
    for name in ("PNEUMO_DATA", "PNEUMO_HOME", "PNEUMO_FAST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folders(tmp_path, monkeypatch) -> Folders:
    """An empty project folder, used by everything in the test."""
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path))
    return Folders(tmp_path)


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """An empty folder in the place of the one in which trained models come with the package."""
    folder = tmp_path / "weights"
    monkeypatch.setattr(shipped, "WEIGHTS", folder)
    return folder


@pytest.fixture(scope="session")
def colab_widgets() -> Path:
    """A folder with the ipywidgets that Colab has; a Python that finds it first takes that."""
    folder = ROOT / "build" / f"ipywidgets-{COLAB_WIDGETS}"
    if not (folder / "ipywidgets").is_dir():
        words = ["install", "--quiet", "--no-deps", "--target", str(folder), f"ipywidgets=={COLAB_WIDGETS}"]
        pip = [sys.executable, "-m", "pip", *words, "ipython-genutils==0.2.0"]
        done = subprocess.run(pip, capture_output=True, encoding="utf-8")
        if done.returncode:
            pytest.skip(
                f"ipywidgets {COLAB_WIDGETS} cannot be installed: {done.stderr.strip().splitlines()[-1]}"
            )
    return folder


@pytest.fixture(scope="session")
def phantoms() -> tuple[XrayDataset, XrayDataset]:
    """A train and a validation part of 120 phantoms of 32 px."""
    return make_validation_split(make_phantoms(120, image_size=32))


@pytest.fixture(scope="session")
def tiny_config() -> TrainConfig:
    """A training that takes seconds."""
    return TrainConfig(model="cnn_baseline", image_size=32, num_epochs=2, batch_size=16)


def make_film(seed: int, *, bright: bool = False, shape: tuple[int, int] = (40, 48)) -> np.ndarray:
    """Noise with structure, so that no reader calls it blank."""
    noise = np.random.default_rng(seed).integers(0, 150, shape, dtype=np.uint8)
    return noise + np.uint8(100 * bright)


def make_chest_film(seed: int, *, shape: tuple[int, int] = (200, 240)) -> np.ndarray:
    """A phantom, which the guard takes for a chest film."""
    phantom = make_phantoms(8, image_size=200, seed=seed).images[0]
    return np.array(Image.fromarray(phantom).resize(shape[::-1]))


def make_checkpoint(*, seed: int = 0, **changes) -> Checkpoint:
    """A baseline at 32 px with random weights of its own, as a run with that seed might leave it."""
    torch.manual_seed(seed)
    config = TrainConfig(model="cnn_baseline", image_size=32, seed=seed)
    state = build_model("cnn_baseline").state_dict()
    return Checkpoint(
        **{"config": config, "transform": EvalTransform(32), "state": state, "threshold": 0.5} | changes
    )


def make_lively_checkpoint(*, seed: int = 0, **changes) -> Checkpoint:
    """Like `make_checkpoint`, with weights and running statistics that make the logits of films differ."""
    rng = torch.Generator().manual_seed(seed)
    state = make_checkpoint(seed=seed).state
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1, generator=rng)
        elif name.endswith("running_var"):
            value.uniform_(0.1, 0.5, generator=rng)
        elif name == "head.weight":
            value.mul_(20)
    return make_checkpoint(**{"seed": seed, "state": state} | changes)


class LeftHalf(torch.nn.Module):
    """Its logit is the mean of the left half of what it gets: a mirror image has another."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.weight * images[..., : images.shape[-1] // 2].mean((1, 2, 3))


class LeftHalfCheckpoint(Checkpoint):
    """A checkpoint whose model is `LeftHalf`; its input is grey levels of 0 to 1 as they are."""

    def build_model(self):
        return LeftHalf()


def make_left_half(*, image_size: int, **changes) -> Checkpoint:
    """A checkpoint of `LeftHalf`."""
    transform = EvalTransform(image_size, mean=0.0, std=1.0)
    return LeftHalfCheckpoint(**vars(make_checkpoint(transform=transform, **changes)))


def make_prediction(path: str, *, prob: float | None = 0.75, refer: bool | None = False, **changes):
    """An answer of the model "net" at a threshold of 0.25; without a probability the film was rejected."""
    from pneumo_utils.app.predictor import Prediction

    status, label = ("rejected", None) if prob is None else ("ok", "PNEUMONIA" if prob >= 0.25 else "NORMAL")
    values = {"path": path, "status": status, "label": label, "probability": prob, "refer": refer}
    values |= {"model": "net", "threshold": 0.25, "trained_on": "somewhere", "warnings": [], "reason": None}
    return Prediction(**values | {"time_s": 0.5} | changes)


def make_folder(root: Path, *, num_train: int = 12, num_test: int = 4) -> Path:
    """A folder in the layout of ChestXRay2017 with films of both classes; names tell the patients."""
    for split, count in (("train", num_train), ("test", num_test)):
        for name in CLASSES:
            part = root / split / name
            part.mkdir(parents=True)
            for i in range(count):
                kind = "bacteria" if i % 2 else "virus"
                file = f"IM-{i:04d}-0001.jpeg" if name == "NORMAL" else f"person{i}_{kind}_{i}.jpeg"
                film = make_film(i + 1000 * (split == "test"), bright=name == "PNEUMONIA")
                Image.fromarray(film).save(part / file)
    return root


@pytest.fixture
def film_folder(tmp_path) -> Path:
    return make_folder(tmp_path / "films" / "chest_xray")


def run_pneumo(*words, cwd: Path, module: bool = False, **environment) -> subprocess.CompletedProcess:
    """Runs the command as a user types it, in a process of its own."""
    start = (
        [sys.executable, "-m", "pneumo_utils"] if module else [str(Path(sys.executable).with_name("pneumo"))]
    )
    settings = {"PNEUMO_HOME": str(cwd), "PNEUMO_FAST": "1"} | environment
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
    command, encoding = [*start, *map(str, words)], environment.get("PYTHONIOENCODING", "utf-8")
    return subprocess.run(
        command, cwd=cwd, env=kept | settings, capture_output=True, encoding=encoding, timeout=PATIENCE_S
    )
