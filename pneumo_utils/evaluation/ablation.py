"""The ablation: each recipe and each regulariser over several seeds, on validation and on the official test.

Every choice of a run (epoch, flip averaging, temperature, thresholds) is made on validation; the test
figures are written down for what was chosen, and nothing is chosen by them. A run that is finished is a file,
so that a table can be stopped, resumed and shared between processes.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pneumo_utils.config import Folders, TrainConfig, shorten
from pneumo_utils.data.sources import DataChoice, load_split
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.evaluate import evaluate
from pneumo_utils.models.registry import build_model, count_parameters
from pneumo_utils.training.loop import fit
from pneumo_utils.training.recipes import ABLATION, RECIPES

REPOSITORY = Path(__file__).parents[2]
FIGURES = ("val_auroc", "stress_auroc", "test_auroc", "auroc_gap", "val_accuracy", "test_accuracy")
FIGURES += ("screening_sensitivity", "screening_specificity", "stretch_auroc_loss")


@dataclass(frozen=True)
class Summary:
    """One row over its seeds.

    Attributes:
        row: Its name.
        seeds: Of the runs behind it.
        mean: Mean of each of `FIGURES`.
        spread: Standard deviation over seeds (with n - 1) of each; NaN for a single seed.
        records: The runs.
    """

    row: str
    seeds: tuple[int, ...]
    mean: dict[str, float]
    spread: dict[str, float]
    records: tuple[dict, ...]


def find_row(name: str) -> TrainConfig:
    """The configuration of a row: a recipe as it is, or a line of `ABLATION`.

    Raises:
        UsageError: There is no such row.
    """
    rows = RECIPES | ABLATION
    if name not in rows:
        raise UsageError(f"There is no row {name!r}; expected one of {', '.join(rows)}.")
    return rows[name]


def run_ablation(
    rows: Iterable[str],
    seeds: Iterable[int],
    *,
    choice: DataChoice,
    folder: Path,
    keep: Callable[[str, int], Path] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Trains and judges each row with each seed, seed after seed, and leaves one file a run in `folder`.

    A run whose file is there, made with the same configuration on the same films, is not repeated.

    Args:
        rows: Names that `find_row` knows.
        seeds: Whole numbers from 0.
        choice: The data.
        folder: Where the files go.
        keep: Where the checkpoint of a row and seed goes; None keeps none.
        say: Takes one line a run and one an epoch.
    """
    configs = {row: find_row(row) for row in rows}
    for seed in seeds:
        for row, config in configs.items():
            config = shorten(replace(config, seed=seed))
            path = folder / f"{row}-seed{seed}.json"
            if _is_done(path, config, choice):
                say(f"{path.name} is there already.")
                continue
            say(f"{row}, seed {seed}")
            checkpoint_path = keep(row, seed) if keep is not None else None
            record = _run(row, config, choice=choice, checkpoint_path=checkpoint_path, say=say)
            _write(record, path)


def _run(row: str, config: TrainConfig, *, choice: DataChoice, checkpoint_path, say) -> dict:
    train, val = (load_split(choice, split, image_size=config.image_size) for split in ("train", "val"))
    started = time.perf_counter()
    checkpoint = fit(config, train, val=val, checkpoint_path=checkpoint_path, say=say).checkpoint
    time_s = time.perf_counter() - started
    test, _ = evaluate(checkpoint, load_split(choice, "test", image_size=config.image_size))
    say(f"{row}, seed {config.seed}: test AUROC {test['auroc']:.4f}, accuracy {test['accuracy']:.4f}")
    return {
        "row": row,
        "seed": config.seed,
        "data": choice.source,
        "config": config.to_dict(),
        "chosen_on": "val",
        "num_parameters": count_parameters(build_model(config.model)),
        "pretrained": checkpoint.pretrained,
        "strategy": checkpoint.config.strategy,
        "train_time_s": time_s,
        "val": checkpoint.val_metrics,
        "test": test,
    }


def _is_done(path: Path, config: TrainConfig, choice: DataChoice) -> bool:
    if not path.is_file():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    return record["config"] == json.loads(json.dumps(config.to_dict())) and record["data"] == choice.source


def _write(content, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def gather_records(folder: Path, path: Path) -> list[dict]:
    """Puts the runs of a folder into one file, in the order of the recipes and rows.

    Raises:
        PneumoError: The folder has no runs.
    """
    records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    if not records:
        raise PneumoError(f"{folder} has no runs yet. Run `pneumo ablation`.")
    order = list(RECIPES | ABLATION)
    records.sort(key=lambda record: (order.index(record["row"]), record["seed"]))
    _write({"runs": records}, path)
    return records


def load_records(path: Path) -> list[dict]:
    """The runs that `gather_records` put into one file.

    Raises:
        PneumoError: The file is not there or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PneumoError(f"{path} is not a table of runs ({error}). Run `pneumo ablation`.") from error


def load_stored_records(folders: Folders) -> list[dict]:
    """The runs of `results/ablation.json` in the project's folder, else those that the repository brings.

    Raises:
        PneumoError: There are none, or the file is damaged.
    """
    own = folders.stored_ablation
    return load_records(own if own.is_file() else Folders(REPOSITORY).stored_ablation)


def summarise(records: list[dict]) -> list[Summary]:
    """Mean and spread over the seeds of each row, in the order of the rows' first runs."""
    summaries = []
    for row in dict.fromkeys(record["row"] for record in records):
        runs = tuple(record for record in records if record["row"] == row)
        figures = [get_figures(record) for record in runs]
        values = {name: np.array([figure[name] for figure in figures]) for name in FIGURES}
        mean = {name: float(value.mean()) for name, value in values.items()}
        spread = {
            name: float(value.std(ddof=1)) if len(value) > 1 else float("nan")
            for name, value in values.items()
        }
        summaries.append(Summary(row, tuple(record["seed"] for record in runs), mean, spread, runs))
    return summaries


def get_figures(record: dict) -> dict[str, float]:
    """The figures of one run that the table and the figure show, by the names in `FIGURES`."""
    val, test = record["val"], record["test"]
    return {
        "val_auroc": val["auroc"],
        "stress_auroc": val["stress_auroc"],
        "test_auroc": test["auroc"],
        "auroc_gap": val["auroc"] - test["auroc"],
        "val_accuracy": val["accuracy"],
        "test_accuracy": test["accuracy"],
        "screening_sensitivity": test["screening"]["sensitivity"],
        "screening_specificity": test["screening"]["specificity"],
        "stretch_auroc_loss": max(test["stretch_auroc_loss"].values()),
    }


def format_summary(summaries: list[Summary]) -> str:
    """A Markdown table, mean +- spread over seeds."""
    columns = ("run", "start", "seeds", "val AUROC", "stress AUROC", "test AUROC", "test accuracy %")
    columns += ("screening: sensitivity % / specificity %", "AUROC lost by stretch")
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for summary in summaries:
        start = "ImageNet weights" if summary.records[0]["pretrained"] else "random weights"
        cells = [f"`{summary.row}`", start, str(len(summary.seeds))]
        cells += [_show(summary, name, 1, ".4f") for name in ("val_auroc", "stress_auroc", "test_auroc")]
        cells.append(_show(summary, "test_accuracy", 100, ".1f"))
        screening = [
            f"{summary.mean[f'screening_{name}'] * 100:.1f}" for name in ("sensitivity", "specificity")
        ]
        cells += [" / ".join(screening), _show(summary, "stretch_auroc_loss", 1, ".4f")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _show(summary: Summary, name: str, factor: float, form: str) -> str:
    text = f"{summary.mean[name] * factor:{form}}"
    return text if len(summary.seeds) < 2 else f"{text} ± {summary.spread[name] * factor:{form}}"
