"""Results files and the tables made of them: rows of models, published figures, runs over several seeds."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError

COLUMNS = ("data", "split", "films", "model", "start", "threshold", "accuracy %", "AUROC")
COLUMNS += ("sensitivity %", "specificity %")


def load_results(path: Path) -> list[dict]:
    """The rows of a results file; none where there is no file.

    Raises:
        PneumoError: The file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise PneumoError(f"{path} is not a results file ({error}). Delete it and run again.") from error


def save_result(row: dict, path: Path) -> None:
    """Adds a row from `evaluate`, in the place of an older one of the same model, split and data.

    The file is made on demand and replaced as a whole.
    """
    rows = [kept for kept in load_results(path) if _identify(kept) != _identify(row)]
    rows = sorted([*rows, row], key=_identify)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"rows": rows}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _identify(row: dict) -> tuple[str, str, str]:
    return row["data"], row["split"], row["model"]


def describe_data(row: dict) -> str:
    """The data set of a row, phantoms marked as such."""
    return "SYNTHETIC" if row["data"] == "synthetic" else row["data"]


def format_interval(
    value: float | None, interval: tuple[float | None, float | None] | None, *, percent: bool = False
) -> str:
    """A number with its 95 % interval: "0.912 (0.880 to 0.941)", in percent "91.2 % (88.0 % to 94.1 %)".

    "undefined" for None. Where there is no interval, None or (None, None), the number alone.
    """
    if value is None:
        return "undefined"
    low, high = (None, None) if interval is None else interval

    def show(share: float) -> str:
        return f"{100 * share:.1f} %" if percent else f"{share:.3f}"

    return show(value) if low is None else f"{show(value)} ({show(low)} to {show(high)})"


def format_share(row: dict, name: str) -> str:
    """A metric of a row, 0 to 1, with its 95 % interval."""
    return format_interval(row[name], row["intervals"][name])


def format_percent(row: dict, name: str) -> str:
    """A metric of a row with its 95 % interval, for a column whose head has the percent sign."""
    return format_interval(row[name], row["intervals"][name], percent=True).replace(" %", "")


def format_table(rows: list[dict]) -> str:
    """A Markdown table of results, from `load_results`, with 95 % intervals and no line break at the end."""
    lines = []
    for row in rows:
        cells = [describe_data(row), row["split"], row["n"], f"`{row['model']}`", describe_start(row)]
        cells += [f"{row['threshold']:.3f}", format_percent(row, "accuracy"), format_share(row, "auroc")]
        lines.append([*cells, format_percent(row, "sensitivity"), format_percent(row, "specificity")])
    return build_markdown_table(COLUMNS, lines)


def describe_start(row: dict) -> str:
    """What the training of a row began from."""
    return "ImageNet weights" if row["pretrained"] else "random weights"


def build_markdown_table(head: tuple[str, ...], rows: list[list]) -> str:
    """A table in Markdown, no line break at its end."""
    first, *others = (("| " + " | ".join(map(str, cells))).rstrip() + " |" for cells in (head, *rows))
    return "\n".join([first, "|" + " --- |" * len(head), *others])


@dataclass(frozen=True)
class Published:
    """What somebody published on the 624 films of the official test split of ChestXRay2017.

    `name` is the model and whose it is, accuracy and AUROC are 0 to 1, `where` they stand is Markdown.
    """

    name: str
    accuracy: float
    auroc: float
    where: str


MEDMNIST = "[arXiv 2110.14795](https://arxiv.org/abs/2110.14795)"
MEDMNIST_PLUS = "[arXiv 2404.15786](https://arxiv.org/abs/2404.15786)"
CELL = "[doi 10.1016/j.cell.2018.02.010](https://doi.org/10.1016/j.cell.2018.02.010)"
PUBLISHED = (
    Published("ResNet-18 at 224 px, MedMNIST v2", 0.864, 0.956, MEDMNIST),
    Published("ResNet-18 at 224 px, MedMNIST+", 0.911, 0.980, MEDMNIST_PLUS),
    Published("Kermany et al., Cell 2018", 0.928, 0.968, CELL),
    Published("Google AutoML Vision, MedMNIST v2", 0.946, 0.991, MEDMNIST),
)


def format_beside_published(rows: list[dict]) -> str:
    """A Markdown table of models with their intervals, published ones, and the rival that sees no film.

    The rows are of one test split, 1 or more; other films than the official ones are named.
    """
    lines = []
    for row in rows:
        where = "here" if row["data"] == "chestxray2017" else f"here, on other films: {describe_data(row)}"
        name = f"**ours**: `{row['model']}`"
        lines.append([name, format_percent(row, "accuracy"), format_share(row, "auroc"), where])
    for other in PUBLISHED:
        lines.append([other.name, f"{100 * other.accuracy:.1f}", f"{other.auroc:.3f}", other.where])
    confusion = rows[0]["confusion"]
    ill = (confusion["tp"] + confusion["fn"]) / rows[0]["n"]
    lines.append(["calling every film pneumonia", f"{100 * ill:.1f}", "0.500", ""])
    return build_markdown_table(("model", "accuracy %", "AUROC", "where"), lines)


REPOSITORY = Path(__file__).parents[2]
FIGURES = ("val_auroc", "stress_auroc", "test_auroc", "auroc_gap", "val_accuracy", "test_accuracy")
FIGURES += ("screening_sensitivity", "screening_specificity", "stretch_auroc_loss")


@dataclass(frozen=True)
class Summary:
    """One row of the ablation over the seeds of its runs, which are `records`.

    `mean` and `spread`, the standard deviation with n - 1 (NaN for a single seed), are those of each of
    `FIGURES`.
    """

    row: str
    seeds: tuple[int, ...]
    mean: dict[str, float]
    spread: dict[str, float]
    records: tuple[dict, ...]


def load_records(path: Path) -> list[dict]:
    """The runs of an ablation in one file.

    Raises:
        PneumoError: The file is not there or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PneumoError(f"{path} is not a table of runs ({error}). Run `make ablation`.") from error


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
        spread = dict.fromkeys(FIGURES, float("nan"))
        if len(runs) > 1:
            spread = {name: float(value.std(ddof=1)) for name, value in values.items()}
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
