"""`pneumo data` and `pneumo course`."""

from pathlib import Path

from pneumo_utils import cli


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    data = commands.add_parser(
        "data", help="get, describe and audit films", description="Get and judge films."
    )
    actions = data.add_subparsers(required=True, metavar="action")
    text = "fetch films: ChestXRay2017, 1.2 GB, unless told otherwise"
    download = cli.add_command(actions, "download", _download, text=text)
    sources = ("chestxray2017", "pneumoniamnist")
    download.add_argument("source", nargs="?", default=sources[0], choices=sources)
    cli.add_flag(download, "image_size", type=int, default=64, help="of pneumoniamnist: 28, 64, 128 or 224")

    info = cli.add_command(actions, "info", _show_info, text="say which data is taken, and count its films")
    cli.add_flag(info, "data", default="auto", help="auto, a source or a folder")

    text = "what to know of a folder of films: leaks, repeats, damage, and what gives the label away"
    audit = cli.add_command(actions, "audit", _audit, text=text)
    audit.add_argument("folder", type=Path, help="holds NORMAL and PNEUMONIA, or train, val, test with these")
    cli.add_flag(audit, "html", type=cli.name_output(".html"), help="the page; build/audit.html if left out")
    text = "the figures on standard output, nothing else there"
    cli.add_flag(audit, "json", action="store_true", help=text)
    cli.add_flag(audit, "output_dir", type=Path, help="where build goes; the project's folder")

    cli.add_command(commands, "course", _run_course, text="run the five lessons in order")


def _download(arguments) -> None:
    folder = cli.get_folders(arguments).data
    if arguments.source == "pneumoniamnist":
        from pneumo_utils.data.sources import download

        folder = folder / "medmnist"
        download(folder, arguments.image_size)
    else:
        from pneumo_utils.data.download import download_chestxray2017

        folder = download_chestxray2017(folder)
    print(f"The films are in {folder}")


def _show_info(arguments) -> None:
    from pneumo_utils.config import FAST_IMAGE_SIZE, SPLITS
    from pneumo_utils.data.sources import choose_data, load_split

    choice = choose_data(arguments.data)
    print(choice.sentence)
    for split in ("test",) if choice.source == "folder" else SPLITS:
        dataset = load_split(choice, split, image_size=FAST_IMAGE_SIZE)
        counts = ", ".join(f"{count} {name}" for name, count in dataset.class_counts().items())
        print(f"{split}: {len(dataset)} films ({counts}), {len(set(dataset.patients))} patients")


def _audit(arguments) -> None:
    from pneumo_utils.audit.checks import summarise
    from pneumo_utils.audit.facts import read_facts
    from pneumo_utils.audit.findings import build_page, format_json, format_text, make_findings
    from pneumo_utils.report.html import save_page

    table = read_facts(arguments.folder)
    summary = summarise(table)
    findings = make_findings(summary)
    build = cli.get_folders(arguments).build
    json_path, html_path = build / "audit.json", arguments.html or build / "audit.html"
    save_page(format_json(summary, findings), json_path)
    save_page(build_page(summary, findings, table), html_path)
    print(format_json(summary, findings) if arguments.json else format_text(summary, findings))
    cli.say(f"The page is {html_path}, the figures are in {json_path}")


def _run_course(arguments) -> None:
    from pneumo_utils.course import run_course

    run_course()
