"""What lesson 01 lets a reader write is what the package does."""

import io
import re
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lessons import run_taught
from PIL import Image
from sklearn import metrics

from pneumo_utils import config
from pneumo_utils.config import Augmentation, EvalTransform
from pneumo_utils.data import augmentation
from pneumo_utils.data.folders import parse_name
from pneumo_utils.data.grey_scale import cut_frame
from pneumo_utils.data.images import load_image
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.metrics import compute_metrics

LESSON = "01_data_exploration.ipynb"
LIBRARIES = {"np": np, "torch": torch, "F": F, "re": re, "io": io, "Image": Image, "config": config}
NAMES = ("person12_bacteria_34.jpeg", "person1_virus_6.jpeg", "person1945_bacteria_4872.jpeg")
NAMES += ("IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001.jpeg", "IM-0437-0001-0002.jpeg", "holiday.jpeg")
NAMES += ("person12.jpeg", "00000013_005.png", "synthetic-train-0001-1.png", "a person3_virus_1.jpeg")


def make_png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_tensor_is_that_of_the_package():
    films = [film for film in make_phantoms(12, image_size=96).images if cut_frame(film).shape == film.shape]
    assert len(films) >= 3
    names = LIBRARIES | {"read_file": lambda place: make_png(films[0]), "normal": 0, "image_size": 64}
    taught = run_taught(LESSON, "taught-tensor", names)
    transform = EvalTransform(64, name="percentile")
    for film in films:
        expected = transform(torch.from_numpy(load_image(make_png(film), **transform.reading))[None])
        tensor = taught["read_tensor"](make_png(film), 64)
        assert tensor.shape == (1, 1, 64, 64) and tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_patient_is_that_of_the_package(name):
    names = LIBRARIES | {"PNEUMONIA_FILM": NAMES[0], "NORMAL_FILM": NAMES[3]}
    find_patient = run_taught(LESSON, "taught-patient", names)["find_patient"]
    assert find_patient(name) == parse_name(name, 1)[0]


def test_the_stretch_is_that_of_the_package_for_the_same_draw():
    films = make_phantoms(8, image_size=48)
    figure = SimpleNamespace(axes=[Mock() for _ in range(4)])
    shown = {"show_batch": lambda *films, **look: figure, "show_figure": lambda figure: None}
    shown |= {"display": lambda text: None, "Markdown": str, "train": films, "normal": 0}
    settings = config.TrainConfig(model="cnn_baseline")
    taught = run_taught(LESSON, "taught-stretch", LIBRARIES | shown | {"train_config": settings})
    levels = torch.from_numpy(films.images).unsqueeze(1) / 255
    nothing = dict.fromkeys(vars(Augmentation()), 0.0)
    only_stretch = Augmentation(**nothing | {"stretch": 0.4})
    expected = augmentation.augment_films(levels, only_stretch, generator=torch.Generator().manual_seed(7))
    draws = torch.Generator().manual_seed(7)  # of the angle, of the zoom and of the stretch
    log_factors = [torch.rand(len(levels), generator=draws) * 0.8 - 0.4 for _ in range(3)][2]
    stretched = taught["stretch_films"](levels, log_factors).clamp(1e-4, 1)  # as the package's gamma does
    torch.testing.assert_close(stretched, expected, rtol=0, atol=1e-6)


def test_the_auroc_is_that_of_scikit_learn_and_of_the_package():
    count_pairs = run_taught(LESSON, "taught-auroc", LIBRARIES | {"metrics": metrics})["count_pairs"]
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.integers(0, 30, 200) / 30  # with ties
    auroc = count_pairs(labels, scores)
    assert auroc == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-9)
    assert auroc == pytest.approx(compute_metrics(labels, scores, threshold=0.5)["auroc"], abs=1e-9)
