"""Models and films that the panel offers."""

import numpy as np
import pytest
from conftest import make_checkpoint, make_folder

from pneumo_utils.app.widgets import list_models, list_samples
from pneumo_utils.data.images import load_image
from pneumo_utils.data.sources import DataChoice, load_split
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.models.shipped import list_shipped


def test_ones_own_models_come_first(folders):
    assert list(list_models(folders)) == list_shipped()
    save_checkpoint(make_checkpoint(threshold=0.123), folders.checkpoint("cnn_baseline"))
    models = list_models(folders)
    assert list(models) == ["cnn_baseline (your own)", *list_shipped()]
    assert models["cnn_baseline (your own)"]().threshold == 0.123
    assert models["cnn_baseline"]().source == "chestxray2017"


def test_a_damaged_model_is_offered_and_says_so_when_chosen(folders):
    path = folders.checkpoint("cnn_baseline")
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    with pytest.raises(PneumoError, match="cannot be read as a checkpoint"):
        list_models(folders)["cnn_baseline (your own)"]()


def test_samples_are_files_of_validation_films_of_both_classes(folders, tmp_path):
    choice = DataChoice("chestxray2017", make_folder(tmp_path / "films", num_train=40), "")
    samples = list_samples(choice, num_each=2)
    val = load_split(choice, "val", image_size=32, folders=folders)
    assert len(samples) == 4
    for name, path in samples.items():
        (place,) = np.flatnonzero(val.names == path.name)
        label = "PNEUMONIA" if val.labels[place] else "NORMAL"
        assert name == f"{path.name} ({label} in the data set)" and path.parent.name == label
        np.testing.assert_array_equal(load_image(path, image_size=32), val.images[place])


def test_without_films_the_samples_are_phantoms_that_are_called_so():
    samples = list_samples(DataChoice("synthetic", None, ""), num_each=1)
    assert list(samples) == ["a drawn phantom 1, NORMAL", "a drawn phantom 1, PNEUMONIA"]
    assert all(load_image(film).shape == (256, 256) for film in samples.values())
