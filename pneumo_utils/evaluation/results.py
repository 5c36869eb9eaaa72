"""Results files and the tables made of them: rows of models, published figures, runs over several seeds."""

import json
import sys
import time
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from filelock import FileLock

from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError, first_line
from pneumo_utils.runtime import require_writable, write_atomically

ROW_KEY = ("data", "split", "model")
COLUMNS = ("data", "split", "films", "model", "start", "threshold", "accuracy %", "AUROC")
COLUMNS += ("sensitivity %", "specificity %")


def load_results(path: Path) -> list[dict]:
    """The rows of a results file, none where there is none; a PneumoError where it is damaged or foreign."""
    return _load_list(path, "rows", ROW_KEY, "`pneumo eval` begins a new one.") if path.exists() else []


def load_records(path: Path) -> list[dict]:
    """The runs of an ablation in one file; a PneumoError where it is absent, damaged or foreign."""
    return _load_list(path, "runs", ("row", "seed"), "Run `make ablation`.")


def _load_list(path: Path, key: str, names: tuple[str, ...], advice: str) -> list[dict]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))[key]
        list(map(itemgetter(*names), rows))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise PneumoError(f"{path} is not a table of {key} ({first_line(error)}). {advice}") from error
    return rows


def save_result(row: dict, path: Path) -> None:
    """Adds a row from `evaluate`, in the place of an older one of the same model, split and data.

    Several processes may add rows at once. A damaged or foreign file is kept under another name, which is
    said on standard error.
    """
    require_writable(path.parent)
    identify = itemgetter(*ROW_KEY)
    with FileLock(f"{path}.lock"):
        try:
            rows = load_results(path)
        except PneumoError as error:
            aside = path.with_name(f"{path.name}.{time.time_ns()}.damaged")
            path.rename(aside)
            print(f"{error} It is kept as {aside.name}, and a new one begun.", file=sys.stderr)
            rows = []
        rows = [kept for kept in rows if identify(kept) != identify(row)]
        text = json.dumps({"rows": sorted([*rows, row], key=identify)}, indent=1, allow_nan=False) + "\n"
        write_atomically(path, lambda file: file.write(text.encode()))


def describe_data(row: dict) -> str:
    """The data set of a row, phantoms marked as such."""
    return "SYNTHETIC" if row["data"] == "synthetic" else row["data"]


def format_interval(
    value: float | None, interval: tuple[float | None, float | None] | None, *, percent: bool = False
) -> str:
    """A number with its 95 % interval: "0.912 (0.880 to 0.941)", in percent "91.2 % (88.0 % to 94.1 %)".

    "undefined" for None. Where there is no interval, None or (None, None), the number alone.
    """

    def show(share: float) -> str:
        return f"{100 * share:.1f} %" if percent else f"{share:.3f}"

    if value is None:
        return "undefined"
    low, high = interval or (None, None)
    return show(value) if low is None or high is None else f"{show(value)} ({show(low)} to {show(high)})"


def format_share(row: dict, name: str, *, percent: bool = False) -> str:
    """A metric of a row, 0 to 1, with its 95 % interval."""
    return format_interval(row[name], row["intervals"][name], percent=percent)


def format_percent(row: dict, name: str) -> str:
    """A metric of a row with its 95 % interval, for a column whose head has the percent sign."""
    return format_share(row, name, percent=True).replace(" %", "")


def format_table(rows: list[dict]) -> str:
    """A Markdown table of results, from `load_results`, with 95 % intervals and no line break at the end."""
    lines = []
    for row in rows:
        cells = [describe_data(row), row["split"], row["n"], f"`{row['model']}`", describe_start(row)]
        cells += [f"{row['threshold']:.3f}", format_percent(row, "accuracy"), format_share(row, "auroc")]
        lines.append([*cells, format_percent(row, "sensitivity"), format_percent(row, "specificity")])
    return build_markdown_table(COLUMNS, lines)


def describe_start(row: dict) -> str:
    """What the training of a row began from, and who taught it."""
    start = "ImageNet weights" if row["pretrained"] else "random weights"
    teacher = row.get("taught_by", "").split(" ")[0]  # behind it a hash of its weights
    return f"{start}, taught by {teacher}" if teacher else start


def build_markdown_table(head: tuple[str, ...], rows: list[list]) -> str:
    """A table in Markdown, no line break at its end."""
    first, *others = (("| " + " | ".join(map(str, cells))).rstrip() + " |" for cells in (head, *rows))
    return "\n".join([first, "|" + " --- |" * len(head), *others])


MEDMNIST = "[arXiv 2110.14795](https://arxiv.org/abs/2110.14795)"
MEDMNIST_PLUS = "[arXiv 2404.15786](https://arxiv.org/abs/2404.15786)"
CELL = "[doi 10.1016/j.cell.2018.02.010](https://doi.org/10.1016/j.cell.2018.02.010)"
PUBLISHED: tuple[dict, ...] = (
    {"model": "ResNet-18, 28 to 224 px, MedMNIST v2", "accuracy": 0.864, "auroc": 0.956, "where": MEDMNIST},
    {"model": "ResNet-18 at 224 px, MedMNIST+", "accuracy": 0.911, "auroc": 0.980, "where": MEDMNIST_PLUS},
    {"model": "Kermany et al., Cell 2018", "accuracy": 0.928, "auroc": 0.968, "where": CELL},
    {"model": "Google AutoML at 28 px, MedMNIST v2", "accuracy": 0.946, "auroc": 0.991, "where": MEDMNIST},
)
"""What others published on the 624 films of the official test split of ChestXRay2017."""


def format_beside_published(rows: list[dict]) -> str:
    """A Markdown table of models with their intervals, published ones, and the rival that sees no film.

    The rows are of one test split, 1 or more; other films than the official ones are named.
    """
    lines = []
    for row in rows:
        where = "here" if row["data"] == "chestxray2017" else f"here, on other films: {describe_data(row)}"
        name = f"**ours**: `{row['model']}`"
        lines.append([name, format_percent(row, "accuracy"), format_share(row, "auroc"), where])
    for row in PUBLISHED:
        lines.append([row["model"], f"{100 * row['accuracy']:.1f}", f"{row['auroc']:.3f}", row["where"]])
    confusion = rows[0]["confusion"]
    ill = (confusion["tp"] + confusion["fn"]) / rows[0]["n"]
    lines.append(["calling every film pneumonia", f"{100 * ill:.1f}", "0.500", ""])
    return build_markdown_table(("model", "accuracy %", "AUROC", "where"), lines)


@dataclass(frozen=True)
class Summary:
    """One row of the ablation over the seeds of its runs; the figures have the names of `get_figures`."""

    row: str
    seeds: tuple[int, ...]
    mean: dict[str, float]
    spread: dict[str, float]  # the standard deviation with n - 1, NaN for a single seed
    records: tuple[dict, ...]  # the runs


def load_stored_records(folders: Folders) -> list[dict]:
    """The runs of `results/ablation.json` in the project's folder, else those that the repository brings."""
    own, brought = folders.stored_ablation, Folders(Path(__file__).parents[2]).stored_ablation
    return load_records(own if own.is_file() else brought)


def summarise(records: list[dict]) -> list[Summary]:
    """Mean and spread over the seeds of each row, in the order of the rows' first runs."""
    import pandas as pd

    summaries = []
    for row in dict.fromkeys(record["row"] for record in records):
        runs = tuple(record for record in records if record["row"] == row)
        figures = pd.DataFrame([get_figures(record) for record in runs])
        seeds = tuple(record["seed"] for record in runs)
        summaries.append(Summary(row, seeds, figures.mean().to_dict(), figures.std().to_dict(), runs))
    return summaries


def get_figures(record: dict) -> dict[str, float]:
    """The figures of one run that the table and the figure show, by name."""
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
