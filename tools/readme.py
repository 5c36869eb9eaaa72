"""Writes the tables and the figure of README.md: `python -m tools.readme`.

They come from the files in `results/`, the models' cards and the lessons. Each table
goes between the marks `<!-- NAME:start -->` and `<!-- NAME:end -->` of the page.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
from matplotlib.figure import Figure

from pneumo_utils import cli
from pneumo_utils.config import Folders
from pneumo_utils.course import list_lessons
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation import results
from pneumo_utils.models.shipped import list_shipped, load_card
from pneumo_utils.plots.style import MODEL_COLOURS, draw_interval, name_rows, save_figure, set_title, styled
from pneumo_utils.training.recipes import RECIPES
from tools.ablation import format_summary
from tools.candidates import format_ranking
from tools.second_judge import MOVED

HEAD = re.compile(r"(?s)(?P<badge>\[!\[.*?\)\n).*?# \d\d - (?P<title>[^\n]+)\n+\*\*(?P<question>[^\n]+)\*\*")
TIME = re.compile(r"(?m)^\*\*Time\*\* (?P<minutes>\d+ minutes?) on (?P<cores>\d+) CPU cores")
GUARD_GROUPS = {
    "test_films": "official test films",
    "elsewhere_chest_films": "frontal films of another hospital, many of them taken at the bedside",
    "other_chest_films": "chest films of elsewhere, real and simulated",
    "seen_kinds": "other pictures, of kinds it learnt",
    "unseen_kinds": "other pictures, of kinds it did not learn",
}


def write_readme(folders: Folders) -> None:
    """Writes README.md and results/beside_published.png of the project's folder.

    Raises:
        PneumoError: A results file is absent or damaged, or the page lacks a mark.
    """
    page = folders.root / "README.md"
    for mark, table in make_tables(folders).items():
        write_between(mark, table, page)
    save_figure(plot_beside_published(load_shipped_rows()), folders.root / "results" / "beside_published.png")


def make_tables(folders: Folders) -> dict[str, str]:
    """The Markdown tables of the page, by their marks."""
    path = folders.root / "results" / "chestxray2017.json"
    rows = [row for row in results.load_results(path) if row["split"] == "test"]
    if not rows:
        raise PneumoError(f"{path} has no results on test yet. Run `make notebooks`.")
    shipped = load_shipped_rows()
    records = [r for r in results.load_records(folders.stored_ablation) if r["row"] in RECIPES]
    stored = {
        name: json.loads((folders.root / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("guard", "candidates")
    }
    return {
        "published": results.format_beside_published(shipped),
        "lessons": format_lesson_table(folders),
        "guard": format_guard_table(stored["guard"]["summary"]),
        "shipped": results.format_table(shipped),
        "originals": format_originals_table(),
        "seeds": format_summary(results.summarise(records)),
        "results": results.format_table(rows),
        "candidates": format_ranking(stored["candidates"]["runs"]),
    }


def load_shipped_rows() -> list[dict]:
    """What each model that ships did on the official test split."""
    return [load_card(name)["card"]["figures"]["test"] for name in list_shipped()]


@styled
def plot_beside_published(rows: list[dict]) -> Figure:
    """Accuracy and AUROC on the official test split: rows of `evaluate` beside published figures as dots."""
    names = [f"ours: {row['model']}" for row in rows] + [row["model"] for row in results.PUBLISHED]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 1 + 0.36 * len(names)), sharey=True)
    above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 9}
    for axis, metric, form in ((left, "accuracy", ".1%"), (right, "auroc", ".3f")):
        ours = [(row[metric], row["intervals"][metric], MODEL_COLOURS[0]) for row in rows]
        published = [(row[metric], (None, None), "0.45") for row in results.PUBLISHED]
        for place, (value, interval, colour) in enumerate(ours + published):
            draw_interval(axis, place, value, interval=interval, colour=colour)
            axis.annotate(f"{value:{form}}", (value, place), **above)
        axis.margins(x=0.1)  # room for the numbers
    left.xaxis.set_major_formatter(lambda share, _position: f"{100 * share:.0f}")
    name_rows(left, names)
    left.set(xlabel="accuracy %", ylim=(len(names) - 0.4, -0.8))
    right.set_xlabel("AUROC")
    title = "The official test split: ours with 95 % intervals, beside published figures"
    set_title(figure, title, synthetic=False)
    return figure


def format_lesson_table(folders: Folders) -> str:
    """The lessons: question, measured time, a link that opens each on Colab.

    Times on a GPU are not measured yet, so a dash stands there.

    Raises:
        PneumoError: There are no notebooks, or one does not begin as the lessons do.
    """
    lines = ["| lesson | question | time on CPU | on a GPU | in the browser |", "|" + " --- |" * 5]
    for path in list_lessons(folders):
        first, second = (cell.source for cell in nbformat.read(path, as_version=4).cells[:2])
        head, time = HEAD.match(first), TIME.search(second)
        if not head or not time:
            raise PneumoError(f"{path.name} does not begin with badge, title and question, then the time.")
        lines.append(
            f"| [{path.stem[:2]} {head['title']}](notebooks/{path.name}) | {head['question']} | "
            f"{time['minutes']}, {time['cores']} cores | - | {head['badge'].strip()} |"
        )
    return "\n".join(lines)


def format_originals_table() -> str:
    """What `tools.originals` found for each model that ships; a PneumoError where it was not run."""
    head = ("model", "films", "P(pneumonia), mean change", f"moved by more than {MOVED}: %", "other label: %")
    lines = []
    for name in list_shipped():
        found = load_card(name)["card"].get("originals")
        if found is None:
            raise PneumoError(f"{name}: originals are not measured. Run `python -m tools.originals FOLDER`.")
        shares = [f"{100 * found[share]:.1f}" for share in ("moved", "relabelled")]
        lines.append([f"`{name}`", found["films"], f"{found['mean_change']:+.3f}", *shares])
    return results.build_markdown_table(head, lines)


def format_guard_table(summary: dict) -> str:
    """The shares in a "summary" of `teach_guard.judge.judge_guard`."""
    lines = ["| pictures | number | let through % | warned of or rejected % | rejected % |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for name, title in GUARD_GROUPS.items():
        group = summary[name]
        caught = group["caught"] if "caught" in group else 1 - group["accepted"]
        rejected = group["rejected"] if "rejected" in group else 1 - group["let_through"]
        shares = " | ".join(f"{share:.1%}".rstrip("%") for share in (1 - rejected, caught, rejected))
        lines.append(f"| {title} | {group['n']:,} | {shares} |")
    return "\n".join(lines)


def write_between(mark: str, text: str, page_path: Path) -> None:
    """Puts generated text between the lines `<!-- MARK:start -->` and `<!-- MARK:end -->` of a Markdown page.

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
    page_path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8", newline="\n")


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.readme", description=__doc__)
    cli.add_flag(parser, "output_dir", type=Path, help="holds README.md and results; the project's folder")
    parser.set_defaults(run=lambda arguments: write_readme(cli.get_folders(arguments)))
    return cli.run(parser, words)


if __name__ == "__main__":
    sys.exit(main())
