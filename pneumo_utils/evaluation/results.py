"""The results file, and the tables that are made from it and never by hand."""

import json
import os
from pathlib import Path

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
