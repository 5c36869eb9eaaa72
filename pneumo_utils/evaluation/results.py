"""The ablation: each recipe and each regulariser over several seeds, on validation and on the official test.

Every choice of a run (epoch, flip averaging, temperature, thresholds) is made on validation; the test
figures are written down for what was chosen, and nothing is chosen by them. A run that is finished is a file,
so that a table can be stopped, resumed and shared between processes.
"""

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
    """Adds a row, in the place of an older one of the same model, split and data.

    Args:
        row: From `evaluate`.
        path: The results file, made on demand and replaced as a whole.
    """
    rows = [kept for kept in load_results(path) if _identity(kept) != _identity(row)]
    rows = sorted([*rows, row], key=_identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"rows": rows}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _identity(row: dict) -> tuple[str, str, str]:
    return row["data"], row["split"], row["model"]


def describe_data(row: dict) -> str:
    """The data set of a row, phantoms marked as such."""
    return "SYNTHETIC" if row["data"] == "synthetic" else row["data"]


def format_table(rows: list[dict]) -> str:
    """A Markdown table of results: percent with 95 % intervals, AUROC likewise.

    Args:
        rows: From `load_results`.

    Returns:
        Lines with no line break at the end.
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        cells = [describe_data(row), row["split"], str(row["n"]), f"`{row['model']}`"]
        cells += ["ImageNet weights" if row["pretrained"] else "random weights", f"{row['threshold']:.3f}"]
        cells += [format_percent(row, "accuracy"), format_share(row, "auroc")]
        cells += [format_percent(row, "sensitivity"), format_percent(row, "specificity")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_interval(
    value: float | None, interval: tuple[float | None, float | None] | None, *, percent: bool = False
) -> str:
    """A figure with its 95 % interval in words: "0.912 (0.880 to 0.941)", "91.2 % (88.0 % to 94.1 %)".

    Args:
        value: 0 to 1 as a rule; None where it is undefined, which the text then says.
        interval: Its ends; None, or None and None, where there is none: the text is then the value alone.
        percent: Whether to write percent with one decimal place, else shares with three.
    """
    if value is None:
        return "undefined"
    low, high = (None, None) if interval is None else interval

    def show(share: float) -> str:
        return f"{100 * share:.1f} %" if percent else f"{share:.3f}"

    return show(value) if low is None else f"{show(value)} ({show(low)} to {show(high)})"


def format_percent(row: dict, name: str) -> str:
    """A figure of a row in percent, with its 95 % interval."""
    return _with_interval(row, name, 100, ".1f")


def format_share(row: dict, name: str) -> str:
    """A figure of a row, 0 to 1, with its 95 % interval."""
    return _with_interval(row, name, 1, ".3f")


def _with_interval(row: dict, name: str, factor: float, form: str) -> str:
    if row[name] is None:
        return "undefined"
    low, high = row["intervals"][name]
    if low is None:  # films of one patient
        return f"{row[name] * factor:{form}} (no interval)"
    return f"{row[name] * factor:{form}} ({low * factor:{form}} to {high * factor:{form}})"


def write_between(mark: str, text: str, page_path: Path) -> None:
    """Puts generated text between two marks of a Markdown page.

    Args:
        mark: The page has the lines `<!-- MARK:start -->` and `<!-- MARK:end -->`.
        text: What goes between them.
        page_path: The page.

    Raises:
        PneumoError: The page has no such marks.
    """
    start, end = f"<!-- {mark}:start -->", f"<!-- {mark}:end -->"
    page = page_path.read_text(encoding="utf-8")
    if start not in page or end not in page:
        raise PneumoError(
            f"{page_path.name} lacks the marks {start} and {end}. Add them where the table goes."
        )
    before, after = page.split(start)[0], page.split(end)[1]
    page_path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


@dataclass(frozen=True)
class Published:
    """Figures that somebody published, on the 624 films of the official test split of ChestXRay2017.

    Attributes:
        name: The model and whose it is.
        accuracy: 0 to 1.
        auroc: 0 to 1.
        where: Where the figures stand, as Markdown.
    """

    name: str
    accuracy: float
    auroc: float
    where: str


MEDMNIST = "[arXiv 2110.14795](https://arxiv.org/abs/2110.14795)"
PUBLISHED = (
    Published("ResNet-18 at 224 px, MedMNIST v2", 0.864, 0.956, MEDMNIST),
    Published(
        "ResNet-18 at 224 px, MedMNIST+", 0.911, 0.980, "[arXiv 2404.15786](https://arxiv.org/abs/2404.15786)"
    ),
    Published(
        "Kermany et al., Cell 2018",
        0.928,
        0.968,
        "[doi 10.1016/j.cell.2018.02.010](https://doi.org/10.1016/j.cell.2018.02.010)",
    ),
    Published("Google AutoML Vision, MedMNIST v2", 0.946, 0.991, MEDMNIST),
)


def format_beside_published(rows: list[dict]) -> str:
    """A Markdown table of models with their intervals, published ones, and the rival that sees no film.

    Args:
        rows: Of one test split, 1 or more, from `evaluate`; other films than the official ones are named.

    Returns:
        Lines with no line break at the end.
    """
    lines = ["| model | accuracy % | AUROC | where |", "|" + " --- |" * 4]
    for row in rows:
        where = "here" if row["data"] == "chestxray2017" else f"here, on other films: {describe_data(row)}"
        lines.append(
            f"| **ours**: `{row['model']}` | {format_percent(row, 'accuracy')} | "
            f"{format_share(row, 'auroc')} | {where} |"
        )
    for other in PUBLISHED:
        lines.append(f"| {other.name} | {100 * other.accuracy:.1f} | {other.auroc:.3f} | {other.where} |")
    confusion = rows[0]["confusion"]
    ill = (confusion["tp"] + confusion["fn"]) / rows[0]["n"]
    lines.append(f"| calling every film pneumonia | {100 * ill:.1f} | 0.500 | |")
    return "\n".join(lines)


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
