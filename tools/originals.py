"""Whether models answer original films as they answer their copies: `python -m tools.originals FOLDER`.

The films of a data set are often passed on smaller and compressed anew, and models learn from such copies.
Here the same films are answered in both forms; what changes goes into each model's card.
"""

import argparse
import json
import sys

import numpy as np

from pneumo_utils import cli
from pneumo_utils.data.sources import DataChoice, choose_data, load_split
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.models import shipped
from pneumo_utils.models.checkpoint import Checkpoint
from tools.candidates import write_json
from tools.second_judge import MOVED
from tools.ship import describe_sizes, write_page


def compare_originals(checkpoint: Checkpoint, originals: DataChoice, copies: DataChoice) -> dict:
    """How the answers to originals differ from those to the copies of the same names in train and validation.

    Returns films, their sizes in words, and of P(pneumonia) the mean change from copy to original, the share
    of films in which it moves by more than `MOVED`, and the share that gets the other label.

    Raises:
        PneumoError: A film has no copy.
    """
    reading, predict = checkpoint.transform.reading, make_predict(checkpoint)
    films = load_split(originals, "test", **reading)
    found = {}
    for split in ("train", "val"):
        part = load_split(copies, split, **reading)
        chosen = part.select(np.isin(part.names, films.names))
        found |= dict(zip(chosen.names.tolist(), predict(chosen), strict=True))
    if lost := sorted(set(films.names.tolist()) - set(found)):
        raise PneumoError(f"{len(lost)} films have no copy to be compared with; the first is {lost[0]}.")
    of_originals, of_copies = predict(films), np.array([found[name] for name in films.names.tolist()])
    change, threshold = of_originals - of_copies, checkpoint.threshold
    return {
        "films": len(films),
        "sizes": describe_sizes(films.sizes),
        "mean_change": float(change.mean()),
        "moved": float(np.mean(np.abs(change) > MOVED)),
        "relabelled": float(np.mean((of_originals >= threshold) != (of_copies >= threshold))),
    }


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.originals", description=__doc__.split(":")[0])
    parser.add_argument("folder", help="of original films, in class folders")
    cli.add_flag(parser, "data", default="auto", help="where the copies are: auto, a source or a folder")
    parser.set_defaults(run=_compare)
    return cli.run(parser, words)


def _compare(arguments) -> None:
    originals, copies = choose_data(arguments.folder), choose_data(arguments.data)
    for name in shipped.list_shipped():
        content = shipped.load_card(name)
        content["card"]["originals"] = compare_originals(shipped.load_shipped(name), originals, copies)
        write_json(content, shipped.WEIGHTS / f"{name}.json")
        cli.say(f"{write_page(name).name}: {json.dumps(content['card']['originals'])}")


if __name__ == "__main__":
    sys.exit(main())
