"""`pneumo results`."""

import json
from pathlib import Path

from pneumo_utils.cli.common import flag, get_folders
from pneumo_utils.errors import PneumoError
from pneumo_utils.plots.evaluation import plot_beside_published
from pneumo_utils.plots.style import save_figure


def add_commands(commands) -> None:
    """Adds the command of this module."""
    parser = commands.add_parser(
        "results", help="show the results tables", description="Show the results tables."
    )
    flag(parser, "results_path", type=Path, help="the results file; build/results.json if left out")
    flag(parser, "ablation_path", type=Path, help="the table of runs over seeds; left out if not given")
    flag(parser, "guard_path", type=Path, help="what `pneumo guard judge` found; left out if not given")
    flag(parser, "write_page", type=Path, help="put all tables between the marks of this Markdown page")
    flag(
        parser, "write_figure", type=Path, help="draw the models that ship beside published ones as this PNG"
    )
    parser.set_defaults(run=_results, output_dir=None)


def _results(arguments) -> None:
    from pneumo_utils.evaluation.results import format_table, load_results, write_between

    path, page = arguments.results_path or get_folders(arguments).results, arguments.write_page
    rows = [row for row in load_results(path) if page is None or row["split"] == "test"]
    if not rows:
        kind = "results" if page is None else "results on test"
        raise PneumoError(f"{path} has no {kind} yet. Run `make run`, or `pneumo train` and `pneumo eval`.")
    tables = {"results": format_table(rows)} | _format_files(arguments)
    if page is None:
        print("\n".join(tables.values()))
    else:
        for mark, table in (tables | _format_own(page)).items():
            write_between(mark, table, page)
    if arguments.write_figure is not None:
        save_figure(plot_beside_published(_load_shipped_rows()), arguments.write_figure)


def _format_files(arguments) -> dict[str, str]:
    """The tables of the files that were named, by their marks."""
    tables = {}
    if arguments.ablation_path is not None:
        from pneumo_utils.evaluation.results import format_summary, load_records, summarise
        from pneumo_utils.training.recipes import RECIPES

        records = [r for r in load_records(arguments.ablation_path) if r["row"] in RECIPES]
        tables["seeds"] = format_summary(summarise(records))
    if arguments.guard_path is not None:
        from tools.teach_guard.judge import format_guard_table

        judged = json.loads(arguments.guard_path.read_text(encoding="utf-8"))
        tables["guard"] = format_guard_table(judged["summary"])
    return tables


def _format_own(page: Path) -> dict[str, str]:
    """The tables of the models that ship and of the lessons beside the page, by their marks."""
    from pneumo_utils.config import Folders
    from pneumo_utils.evaluation.results import format_beside_published, format_table
    from pneumo_utils.lessons import format_lesson_table

    rows = _load_shipped_rows()
    lessons = format_lesson_table(Folders(page.resolve().parent))
    return {"shipped": format_table(rows), "published": format_beside_published(rows), "lessons": lessons}


def _load_shipped_rows() -> list[dict]:
    """What each model that ships did on the official test split."""
    from pneumo_utils.models.shipped import list_shipped, load_card

    return [load_card(name)["card"]["figures"]["test"] for name in list_shipped()]
