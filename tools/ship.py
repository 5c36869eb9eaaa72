"""Makes a trained model part of the package, with its model card: `python -m tools.ship --model NAME`.

Seeds of one recipe become one network or an ensemble, rounded to half precision, calibrated on validation,
and judged on test.
"""

import argparse
import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import torch

from pneumo_utils import cli
from pneumo_utils.config import REFER_ALPHA
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import DataChoice, choose_data, load_split
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.evaluate import evaluate, predict_dataset
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.evaluation.results import describe_start, format_share
from pneumo_utils.models import shipped
from pneumo_utils.models.checkpoint import Checkpoint, load_checkpoint, to_values
from pneumo_utils.models.predict import find_refer_range
from pneumo_utils.training.thresholds import calibrate
from tools.shipped_files import make_graph, save_halves

PREDICTIONS = Path(__file__).parents[1] / "results" / "predictions"  # looked up at each call
MAX_ECE = 0.05  # up to which probabilities may be taken at their word
KNOWN_FAILURES = (
    "It learnt from films of children aged one to five from one hospital in Guangzhou; it knows nothing of "
    "adults, of other hospitals or of any disease but pneumonia.",
    "The film must be frontal. The guard in front of the model rejects side views and most pictures that are "
    "no upright chest film; what passes it gets an answer all the same, and the answer means nothing.",
    "Outside the hospital that the films came from, published models of this kind lose half of their "
    "specificity; expect the same of this one.",
    "Films that are very dark, very bright or cropped to one lung are answered less reliably.",
)

PAGE = """# {name}

**For teaching, not for diagnosis.** P(pneumonia) of a frontal chest film of a child.

## Model and data

- Network: {network}.
- Input: one grey channel, {size} x {size} pixels, read by the preset `{preset}`{mirror}.
- Trained on: {source}, fingerprint `{fingerprint}`; strategy {strategy}, {num_epochs} epochs, seeds {seeds}.
- Protocol: validation is cut from the official train split by patient. Epoch, mirror averaging, temperature \
and thresholds were chosen on validation and on changed copies of it; the official test split was opened \
once the choices stood.

## Figures (95 % interval, bootstrap by patient)

| figure | validation | official test |
| --- | --- | --- |
{figures}

AUROC lost when width or height changes by 20 %: {lost:.4f} at worst on test.

{calibration}

## Operating points on test

| point | threshold | sensitivity | specificity |
| --- | --- | --- | --- |
{points}

{band}

## Known failures

{failures}
"""


def combine(checkpoints: list[Checkpoint], *, ensemble: bool) -> Checkpoint:
    """One checkpoint out of several seeds of one recipe, its weights rounded to half precision.

    Args:
        checkpoints: One or more, of the same recipe, start and films.
        ensemble: Average the logits of all; else take the one that ranks stressed validation films best.

    Raises:
        PneumoError: The checkpoints differ in more than their seed.
    """
    kinds = {(replace(c.config, seed=0), c.pretrained, c.source, c.data_fingerprint) for c in checkpoints}
    if len(kinds) != 1:
        raise PneumoError(
            "The checkpoints are of different recipes, starts or films; expected seeds of one recipe. "
            "Run `make seeds` again."
        )
    best = max(checkpoints, key=lambda checkpoint: checkpoint.val_metrics["stress_auroc"])
    if ensemble and len(checkpoints) > 1:
        state = {
            f"members.{index}.{name}": value
            for index, member in enumerate(checkpoints)
            for name, value in member.state.items()
        }
        best = replace(best, state=state, num_members=len(checkpoints))
    return replace(best, state=round_to_half(best))


def round_to_half(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights as they will be after a trip through half precision; whole numbers stay as they are."""
    return {
        name: value.half().float() if value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }


def ship(
    checkpoints: list[Checkpoint], *, ensemble: bool, choice: DataChoice, folder: Path | None = None
) -> Path:
    """Writes weights, graph, card, page and predictions of a model that ships.

    Args:
        checkpoints: Seeds of one recipe.
        ensemble: As for `combine`.
        choice: The data: its validation films settle the choices, its test films are judged.
        folder: Where to; into the package, and the predictions into `results`, if None.

    Returns:
        The path of the page.
    """
    checkpoint = combine(checkpoints, ensemble=ensemble)
    reading = checkpoint.transform.reading
    val = load_split(choice, "val", **reading)
    checkpoint = calibrate(checkpoint, val, make_stress_films(val))
    judged = {split: evaluate(checkpoint, load_split(choice, split, **reading)) for split in ("val", "test")}
    write_predictions(checkpoint.model_name, {split: said for split, (_, said) in judged.items()}, folder)
    card = {
        "name": checkpoint.model_name,
        "seeds": [member.config.seed for member in (checkpoints if ensemble else [checkpoint])],
        "chosen_from_seeds": [member.config.seed for member in checkpoints],
        "chosen_on": "val",
        "num_parameters": sum(value.numel() for value in checkpoint.state.values()),
        "known_failures": list(KNOWN_FAILURES),
        "figures": {split: row for split, (row, _) in judged.items()},
        "date": date.today().isoformat(),
    }
    save_shipped(checkpoint, card, folder)
    return write_page(checkpoint.model_name, folder)


def save_shipped(checkpoint: Checkpoint, card: dict, folder: Path | None = None) -> Path:
    """Writes `<model>.safetensors` in half precision, its graph `<model>.onnx` and `<model>.json`.

    Args:
        checkpoint: The model, its weights already rounded and its choices made on those.
        card: Plain values about it, kept beside the checkpoint's own.
        folder: Where to; into the package if None.

    Returns:
        The path of the card, `<model>.json`.

    Raises:
        UsageError: The packages that write ONNX are not installed.
    """
    folder = folder or shipped.WEIGHTS
    graph = make_graph(checkpoint.config.model, image_size=checkpoint.transform.image_size)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{checkpoint.model_name}.onnx").write_bytes(graph)
    save_halves(checkpoint.state, folder / f"{checkpoint.model_name}.safetensors")
    path = folder / f"{checkpoint.model_name}.json"
    content = {"checkpoint": to_values(checkpoint), "card": card}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8", newline="\n")
    return path


def write_predictions(name: str, predictions: dict[str, Predictions], folder: Path | None = None) -> Path:
    """Writes `<model>.csv`, by which others can check the card: the model's answer to each film, by split."""
    path = (folder or PREDICTIONS) / f"{name}.csv"
    tables = [
        pd.DataFrame({"name": said.names, "label": said.labels, "split": split, "probability": said.probs})
        for split, said in predictions.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(tables).to_csv(path, index=False, float_format="%.6f", lineterminator="\n")
    return path


def write_page(name: str, folder: Path | None = None) -> Path:
    """Writes the model card `<model>.md` from `<model>.json`."""
    folder = folder or shipped.WEIGHTS
    content = shipped.load_card(name, folder)
    path = folder / f"{name}.md"
    path.write_text(describe_card(content["checkpoint"], content["card"]), encoding="utf-8", newline="\n")
    return path


def describe_card(values: dict, card: dict) -> str:
    """The model card in Markdown, from the checkpoint's own values and those of `ship`."""
    config, val, test = values["config"], card["figures"]["val"], card["figures"]["test"]
    seeds, members = ", ".join(map(str, card["seeds"])), ""
    if len(card["seeds"]) > 1:
        members = f", the mean logit of {len(card['seeds'])} networks"
    elif len(card["chosen_from_seeds"]) > 1:
        seeds += f" (the best of {card['chosen_from_seeds']} on stressed validation films)"
    numbers = f"{card['num_parameters']:,} numbers in half precision"
    names = ("accuracy", "auroc", "sensitivity", "specificity", "precision", "f1")
    figures = [f"| {name} | {format_share(val, name)} | {format_share(test, name)} |" for name in names]
    points = [
        f"| {label} | {row['threshold']:.3f} | {format_share(row, 'sensitivity')} | "
        f"{format_share(row, 'specificity')} |"
        for label, row in (("balanced", test), ("screening", test["screening"]))
    ]
    return PAGE.format(
        name=card["name"],
        network=f"`{config['model']}`{members}, {numbers}, started from {describe_start(values)}",
        size=config["image_size"],
        preset=values["transform"]["name"],
        mirror="; a film and its mirror image are averaged" if values["flip_average"] else "",
        source=values["source"],
        fingerprint=values["data_fingerprint"],
        strategy=config["strategy"],
        num_epochs=config["num_epochs"],
        seeds=seeds,
        figures="\n".join([*figures, f"| films | {val['n']} | {test['n']} |"]),
        lost=max(test["stretch_auroc_loss"].values()),
        calibration=describe_calibration(val["ece"], test["ece"]),
        points="\n".join(points),
        band=describe_band(values["refer_limits"], values["threshold"]),
        failures="\n".join(f"- {failure}" for failure in card["known_failures"]),
    )


def describe_calibration(val: float, test: float) -> str:
    """How far probabilities are off, by their expected calibration errors, and what that allows."""
    words = (
        f"Expected calibration error (ECE): {val:.3f} on validation, {test:.3f} on test. On films like these "
    )
    if max(val, test) <= MAX_ECE:
        return f"{words}its probabilities may be taken at their word."
    return f"{words}its probabilities rank, but are not to be taken at their word."


def describe_band(limits: tuple[float, float], threshold: float) -> str:
    """The refer band of a checkpoint at its balanced threshold as a sentence."""
    low, high = find_refer_range(limits, threshold)
    return (
        f"Refer band, fitted on validation for an error rate of {REFER_ALPHA:.0%} in each class: a film "
        f"whose probability lies between {low:.3f} and {high:.3f} should go to a person (at the balanced "
        "point)."
    )


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.ship", description=__doc__)
    cli.add_model_flag(parser, required=True)
    cli.add_flag(parser, "seeds", nargs="+", type=int, default=[0, 1, 2], help="as `make seeds` kept them")
    cli.add_flag(
        parser, "ensemble", action="store_true", help="average all seeds; else the best on validation"
    )
    cli.add_flag(parser, "data", default="auto", help="auto, a source or a folder")
    cli.add_flag(parser, "output_dir", type=Path, help="where the checkpoints lie; the project's folder")
    text = "only write results/predictions of the model of this name as it ships; nothing is chosen anew"
    cli.add_flag(parser, "predictions", action="store_true", help=text)
    parser.set_defaults(run=_ship)
    return cli.run(parser, words)


def _ship(arguments) -> None:
    folders, choice = cli.get_folders(arguments), choose_data(arguments.data)
    cli.say(choice.sentence)
    if arguments.predictions:
        checkpoint = shipped.load_shipped(arguments.model)
        films = {s: load_split(choice, s, **checkpoint.transform.reading) for s in ("val", "test")}
        said = {split: predict_dataset(checkpoint, part) for split, part in films.items()}
        print(write_predictions(arguments.model, said))
        return
    paths = [folders.seed_checkpoint(arguments.model, seed) for seed in arguments.seeds]
    checkpoints = [load_checkpoint(path, model_name=arguments.model) for path in paths]
    print(ship(checkpoints, ensemble=arguments.ensemble, choice=choice))


if __name__ == "__main__":
    sys.exit(main())
