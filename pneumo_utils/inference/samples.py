"""What the upload panel offers to those who have no film at hand: models and films to try."""

from collections.abc import Callable

import numpy as np

from pneumo_utils.config import CLASS_NAMES, Folders
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.folder import list_films
from pneumo_utils.data.sources import DataChoice
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.checkpoint import Checkpoint, load_checkpoint
from pneumo_utils.models.registry import MODELS
from pneumo_utils.models.shipped import list_shipped, load_shipped

PHANTOM_SIZE = 256
"""Height and width of the phantoms, pixels."""


def list_models(folders: Folders) -> dict[str, Callable[[], Checkpoint]]:
    """Models to choose from, each loaded when called: one's own first, then those that come with the package.

    Args:
        folders: Where one's own lie.
    """
    own = {
        f"{name} (your own)": lambda name=name: load_checkpoint(folders.checkpoint(name), model_name=name)
        for name in MODELS
        if folders.checkpoint(name).is_file()
    }
    return own | {name: lambda name=name: load_shipped(name) for name in list_shipped()}


def list_samples(choice: DataChoice, *, num_each: int = 2) -> dict[str, object]:
    """Films to try, of both classes: validation films of the data set, whose files are there, or phantoms.

    Args:
        choice: The data.
        num_each: Films of each class, 1 or more.

    Returns:
        By name, with the label that the data set gives: paths or arrays, as `load_image` takes them.
    """
    if choice.source != "chestxray2017":
        films = make_phantoms(8 * num_each, image_size=PHANTOM_SIZE, split="test")
        return {
            f"a drawn phantom {place + 1}, {name}": films.images[index]
            for label, name in enumerate(CLASS_NAMES)
            for place, index in enumerate(np.flatnonzero(films.labels == label)[:num_each])
        }
    listed = list_films(choice.folder, "train")
    labels = np.array([film.label for film in listed], dtype=np.int64)
    columns = [np.array(c) for c in zip(*((f.patient, f.subtype, f.path.name) for f in listed), strict=True)]
    empty = np.zeros((len(listed), 1, 1), np.uint8)  # to cut them as the lessons do, no pixel is needed
    _, val = make_validation_split(XrayDataset(empty, labels, *columns, choice.source, "train"))
    paths = {film.path.name: film.path for film in listed}
    return {
        f"{file} ({name} in the data set)": paths[file]
        for label, name in enumerate(CLASS_NAMES)
        for file in val.names[val.labels == label][:num_each]
    }
