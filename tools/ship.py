"""From trained checkpoints to a model that ships: rounded, calibrated on validation, judged, described."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pneumo_utils.app.predictor import find_refer_range
from pneumo_utils.config import REFER_ALPHA
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import DataChoice, load_split
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.evaluate import evaluate
from pneumo_utils.models import shipped
from pneumo_utils.models.checkpoint import (
    Checkpoint,
    to_values,
)
from pneumo_utils.models.shipped import WEIGHTS, save_halves
from pneumo_utils.training.thresholds import calibrate

if TYPE_CHECKING:
    import torch

KNOWN_FAILURES = (
    "It learnt from films of children aged one to five from one hospital in Guangzhou; it knows nothing of "
    "adults, of other hospitals or of any disease but pneumonia.",
    "The film must be frontal. A lateral view, another body part or a photograph of a screen gets an answer "
    "all the same, and the answer means nothing.",
    "Outside the hospital that the films came from, published models of this kind lose half of their "
    "specificity; expect the same of this one.",
    "Films that are very dark, very bright or cropped to one lung are answered less reliably.",
)


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
            "Run `pneumo ablation --keep` again."
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


def ship(
    checkpoints: list[Checkpoint],
    *,
    ensemble: bool,
    choice: DataChoice,
    folder: Path = shipped.WEIGHTS,
) -> Path:
    """Writes weights, card and page of a model that ships.

    Args:
        checkpoints: Seeds of one recipe.
        ensemble: As for `combine`.
        choice: The data: its validation films settle the choices, its test films are judged.
        folder: Where to.

    Returns:
        The path of the page.
    """
    checkpoint = combine(checkpoints, ensemble=ensemble)
    image_size = checkpoint.config.image_size
    val = load_split(choice, "val", image_size=image_size)
    checkpoint = calibrate(checkpoint, val, make_stress_films(val))
    figures = {
        split: evaluate(checkpoint, load_split(choice, split, image_size=image_size))[0]
        for split in ("val", "test")
    }
    card = {
        "name": checkpoint.model_name,
        "seeds": [member.config.seed for member in (checkpoints if ensemble else [checkpoint])],
        "chosen_from_seeds": [member.config.seed for member in checkpoints],
        "chosen_on": "val",
        "num_parameters": sum(value.numel() for value in checkpoint.state.values()),
        "known_failures": list(KNOWN_FAILURES),
        "figures": figures,
        "date": date.today().isoformat(),
    }
    save_shipped(checkpoint, card, folder)
    return write_page(checkpoint.model_name, folder)


def write_page(name: str, folder: Path = shipped.WEIGHTS) -> Path:
    """Writes the model card `<model>.md` from `<model>.json`."""
    content = shipped.load_card(name, folder)
    path = folder / f"{name}.md"
    path.write_text(describe_card(content["checkpoint"], content["card"]), encoding="utf-8")
    return path


def describe_card(values: dict, card: dict) -> str:
    """The model card in Markdown.

    Args:
        values: The checkpoint's own.
        card: From `ship`.
    """
    config, test = values["config"], card["figures"]["test"]
    start = "ImageNet weights" if values["pretrained"] else "random weights"
    several = len(card["seeds"]) > 1
    seeds = ", ".join(map(str, card["seeds"]))
    lines = [
        f"# {card['name']}",
        "",
        "**For teaching, not for diagnosis.** P(pneumonia) of a frontal chest film of a child.",
        "",
        "## Model and data",
        "",
        f"- Network: `{config['model']}`"
        + (f", the mean logit of {len(card['seeds'])} networks" if several else "")
        + f", {card['num_parameters']:,} numbers in half precision, started from {start}.",
        f"- Input: one grey channel, {config['image_size']} x {config['image_size']} pixels"
        + ("; a film and its mirror image are averaged." if values["flip_average"] else "."),
        f"- Trained on: {values['source']}, fingerprint `{values['data_fingerprint']}`; "
        + f"strategy {config['strategy']}, {config['num_epochs']} epochs, seeds {seeds}"
        + ("" if several else f" (the best of {card['chosen_from_seeds']} on stressed validation films)")
        + ".",
        "- Protocol: validation is cut from the official train split by patient. Epoch, mirror averaging, "
        "temperature and thresholds were chosen on validation and on changed copies of it; the official "
        "test split was opened once the choices stood.",
        "",
        "## Figures (95 % interval, bootstrap by patient)",
        "",
        "| figure | validation | official test |",
        "| --- | --- | --- |",
    ]
    for name in ("accuracy", "auroc", "sensitivity", "specificity", "precision", "f1"):
        cells = [_with_interval(card["figures"][split], name) for split in ("val", "test")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    lines += [
        f"| films | {card['figures']['val']['n']} | {test['n']} |",
        "",
        f"AUROC lost when width or height changes by 20 %: {max(test['stretch_auroc_loss'].values()):.4f} "
        "at worst on test.",
        "",
        "## Operating points on test",
        "",
        "| point | threshold | sensitivity | specificity |",
        "| --- | --- | --- | --- |",
    ]
    for label, row in (("balanced", test), ("screening", test["screening"])):
        cells = [_with_interval(row, name) for name in ("sensitivity", "specificity")]
        lines.append(f"| {label} | {row['threshold']:.3f} | {cells[0]} | {cells[1]} |")
    lines += ["", describe_band(values["refer_limits"], values["threshold"])]
    lines += ["", "## Known failures", "", *(f"- {failure}" for failure in card["known_failures"]), ""]
    return "\n".join(lines)


def describe_band(limits: tuple[float, float], threshold: float) -> str:
    """The refer band of a checkpoint at its balanced threshold as a sentence."""
    low, high = find_refer_range(limits, threshold)
    return (
        f"Refer band, fitted on validation for an error rate of {REFER_ALPHA:.0%} in each class: a film "
        f"whose probability lies between {low:.3f} and {high:.3f} should go to a person (at the balanced "
        "point)."
    )


def _with_interval(row: dict, name: str) -> str:
    if row[name] is None:
        return "undefined"
    low, high = row["intervals"][name]
    return f"{row[name]:.3f} ({low:.3f} to {high:.3f})"

def round_to_half(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights as they will be after a trip through half precision; whole numbers stay as they are."""
    return {
        name: value.half().float() if value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }


def save_shipped(checkpoint: Checkpoint, card: dict, folder: Path = WEIGHTS) -> Path:
    """Writes `<model>.safetensors` in half precision, its graph `<model>.onnx` and `<model>.json`.

    Args:
        checkpoint: The model, its weights already rounded and its choices made on those.
        card: Plain values about it, kept beside the checkpoint's own.
        folder: Where to.

    Returns:
        The path of the card.

    Raises:
        UsageError: The packages that write ONNX are not installed.
    """
    from pneumo_utils.models.onnx import make_graph

    graph = make_graph(checkpoint.config.model, image_size=checkpoint.transform.image_size)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{checkpoint.model_name}.onnx").write_bytes(graph)
    save_halves(checkpoint.state, folder / f"{checkpoint.model_name}.safetensors")
    path = folder / f"{checkpoint.model_name}.json"
    content = {"checkpoint": to_values(checkpoint), "card": card}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path
