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

import numpy as np
import pandas as pd
import torch
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from pneumo_utils import cli
from pneumo_utils.config import REFER_ALPHA
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import DataChoice, choose_data, load_split
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.evaluate import evaluate, make_predict, predict_dataset
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.evaluation.results import describe_start, format_share
from pneumo_utils.evaluation.saliency import compute_coverage
from pneumo_utils.models import shipped
from pneumo_utils.models.checkpoint import Checkpoint, load_checkpoint, to_values
from pneumo_utils.models.predict import find_refer_range
from pneumo_utils.training.thresholds import calibrate
from tools.candidates import find_seed
from tools.second_judge import MOVED
from tools.shipped_files import make_graph, save_halves

PREDICTIONS = Path(__file__).parents[1] / "results" / "predictions"  # looked up at each call
MAX_ECE = 0.05  # up to which probabilities may be taken at their word
KNOWN_FAILURES = (
    "It learnt from films of children from one hospital in Guangzhou, by the paper of one to five years; "
    "no film tells its child's age. It knows nothing of adults, of other hospitals or of any disease but "
    "pneumonia.",
    "There are films that are clearly normal and films that show pneumonia, and nothing between (spectrum "
    "bias): among children who come with a cough it will be wrong more often than here.",
    "The film must be frontal. The guard in front of the model rejects most pictures that are no upright "
    "chest film; one that passes all the same gets an answer, and that answer means nothing. It lets films "
    "of adults pass.",
    "No film of another hospital was judged. Published models for pneumonia were worse there in three of "
    "five comparisons (Zech et al., PLOS Medicine 2018, doi 10.1371/journal.pmed.1002683).",
    "Films that are very dark, very bright or cropped to one lung are answered less reliably.",
)
LABELS = (
    "Kermany et al. (Cell 2018, doi 10.1016/j.cell.2018.02.010) removed films of low quality; two physicians "
    "read each film, a third those of test as well. A label is their reading of a film, not the child's "
    "illness."
)

PAGE = """# {name}

**For teaching, not for diagnosis.** P(pneumonia) of a frontal chest film of a child.

## Model and data

- Network: {network}.
- Input: one grey channel, {size} x {size} pixels, read by the preset `{preset}`{mirror}.
- Trained on: {source}, in files of {film_sizes} pixels, fingerprint `{fingerprint}`; strategy \
{strategy}, {num_epochs} epochs, seeds {seeds}.
- Labels: {labels}
- Protocol: validation is cut from the official train split by patient. Epoch, mirror averaging, temperature \
and thresholds were chosen on validation and on changed copies of it; the official test split was opened \
once the choices stood. It was not new to the authors, who knew the figures of earlier recipes on it, and of \
single runs with parts of this one.

## Figures (95 % interval, bootstrap by patient)

| figure | validation | official test |
| --- | --- | --- |
{figures}

AUROC lost when width or height changes by a factor of 1.2: {lost:.4f} at worst on test.

{calibration}

## Operating points on test

| point | threshold | sensitivity | specificity |
| --- | --- | --- | --- |
{points}

{band}

## Where it looks

AUROC with parts of each film covered. A model that reads lungs alone falls to 0.5 with the lungs covered, \
and below with the lungs of a film of the other class.

| films | validation | official test |
| --- | --- | --- |
{coverage}

## On original films

{originals}

## Known failures

{failures}
"""
SPLIT_NAMES = {"val": "validation", "test": "test"}
COVERS = {
    "whole": "as they are",
    "lungs_covered": "lungs covered with grey",
    "lungs_swapped": "lungs of a film of the other class",
    "rest_covered": "all but the lungs covered with grey",
    "rest_swapped": "all but the lungs of a film of the other class",
}


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
    films = {"val": val, "test": load_split(choice, "test", **reading)}
    judged = {split: evaluate(checkpoint, part) for split, part in films.items()}
    predict = make_predict(checkpoint)
    write_predictions(checkpoint.model_name, {split: said for split, (_, said) in judged.items()}, folder)
    card = {
        "name": checkpoint.model_name,
        "seeds": [member.config.seed for member in (checkpoints if ensemble else [checkpoint])],
        "chosen_from_seeds": [member.config.seed for member in checkpoints],
        "chosen_on": "val",
        "film_sizes": describe_sizes(val.sizes),
        "num_parameters": sum(value.numel() for value in checkpoint.state.values()),
        "known_failures": list(KNOWN_FAILURES),
        "figures": {split: row for split, (row, _) in judged.items()},
        "calibration": {split: judge_calibration(said) for split, (_, said) in judged.items()},
        "band": {split: judge_band(checkpoint, said) for split, (_, said) in judged.items()},
        "coverage": {split: compute_coverage(predict, part) for split, part in films.items()},
        "date": date.today().isoformat(),
    }
    save_shipped(checkpoint, card, folder)
    return write_page(checkpoint.model_name, folder)


def judge_calibration(said: Predictions) -> dict:
    """Mean probability beside the share of PNEUMONIA (calibration in the large), and the calibration slope.

    The slope is that of a logistic regression of the labels on the logits of the probabilities, 1 where these
    are calibrated, above where they are too timid. Source: Cox, Biometrika 45, 1958.
    """
    logits = logit(np.clip(said.probs, 1e-6, 1 - 1e-6))[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-8, max_iter=10_000).fit(logits, said.labels)
    shares = {"mean_probability": float(said.probs.mean()), "share": float(said.labels.mean())}
    return {**shares, "slope": float(fit.coef_[0, 0])}


def judge_band(checkpoint: Checkpoint, said: Predictions) -> dict:
    """Shares of films: `referred`, and of each class `wrong`, called the other one outside of the band."""
    low, high = find_refer_range(checkpoint.refer_limits, checkpoint.threshold)
    ill = said.labels == 1
    wrong = {"NORMAL": said.probs[~ill] > high, "PNEUMONIA": said.probs[ill] < low}
    referred = float(((said.probs >= low) & (said.probs <= high)).mean())
    return {"referred": referred, "wrong": {name: float(share.mean()) for name, share in wrong.items()}}


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
        film_sizes=card["film_sizes"],
        fingerprint=values["data_fingerprint"],
        strategy=config["strategy"],
        num_epochs=config["num_epochs"],
        seeds=seeds,
        figures="\n".join([*figures, f"| films | {val['n']} | {test['n']} |"]),
        lost=max(test["stretch_auroc_loss"].values()),
        labels=LABELS,
        calibration=describe_calibration(val["ece"], test["ece"], card["calibration"]),
        points="\n".join(points),
        coverage="\n".join(describe_coverage(card["coverage"])),
        band=describe_band(values["refer_limits"], values["threshold"], card["band"]["test"]),
        originals=describe_originals(card.get("originals")),
        failures="\n".join(f"- {failure}" for failure in card["known_failures"]),
    )


def describe_coverage(coverage: dict[str, dict]) -> list[str]:
    """The rows of a table of `compute_coverage`, validation beside test."""
    return [
        f"| {text} | {format_share(coverage['val'], name)} | {format_share(coverage['test'], name)} |"
        for name, text in COVERS.items()
    ]


def describe_originals(found: dict | None) -> str:
    """What `tools.originals` found, in sentences."""
    if found is None:
        return "Not measured yet."
    return (
        f"{found['films']} training films in their original size ({found['sizes']} pixels), beside the "
        f"copies it learnt from: {found['moved']:.1%} of the probabilities move by more than {MOVED}, all of "
        f"them by {found['mean_change']:+.3f} on average, and {found['relabelled']:.1%} of the labels "
        "change. The figures of this card are of copies."
    )


def describe_sizes(sizes: np.ndarray | None) -> str:
    """Width and height of files, int (N, 2) height first: of all, or the smallest and the largest sides."""
    if sizes is None:
        return "unknown"
    low, high = (f"{end[1]} x {end[0]}" for end in (sizes.min(0), sizes.max(0)))
    return low if low == high else f"{low} to {high}"


def describe_calibration(val: float, test: float, fits: dict[str, dict]) -> str:
    """How far probabilities are off, by their expected calibration errors and fits, and what that allows."""
    words = f"Expected calibration error (ECE): {val:.4f} on validation, {test:.4f} on test. "
    words += " ".join(
        f"Of the films of {SPLIT_NAMES[split]} {fit['share']:.2f} are PNEUMONIA, where the mean probability "
        f"is {fit['mean_probability']:.2f}; the calibration slope is {fit['slope']:.2f} (1 would be right)."
        for split, fit in fits.items()
    )
    if max(val, test) <= MAX_ECE:
        return f"{words} On films like these its probabilities may be taken at their word."
    return f"{words} On films like these its probabilities rank, but are not to be taken at their word."


def describe_band(limits: tuple[float, float], threshold: float, judged: dict) -> str:
    """The refer band of a checkpoint at its balanced threshold in sentences, and what it did on test."""
    low, high = find_refer_range(limits, threshold)
    sides = " No answer PNEUMONIA is referred." if high == threshold else ""
    sides += " No answer NORMAL is referred." if low == threshold else ""
    wrong = " and ".join(f"{share:.1%} of the {name}" for name, share in judged["wrong"].items())
    promise = ", more than was asked for" if max(judged["wrong"].values()) > REFER_ALPHA else ""
    return (
        f"Refer band, fitted on validation for an error rate of {REFER_ALPHA:.0%} in each class: a film "
        f"whose probability lies between {low:.3f} and {high:.3f} should go to a person (at the balanced "
        f"point). On test {judged['referred']:.1%} of the films lie in it, and {wrong} films beyond it "
        f"on the wrong side{promise}.{sides}"
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
    paths = [find_seed(folders, arguments.model, seed) for seed in arguments.seeds]
    checkpoints = [load_checkpoint(path, model_name=arguments.model) for path in paths]
    print(ship(checkpoints, ensemble=arguments.ensemble, choice=choice))


if __name__ == "__main__":
    sys.exit(main())
