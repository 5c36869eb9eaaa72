"""`pneumo guard`."""

import json
from pathlib import Path

from pneumo_utils.cli.common import flag, get_folders, say

PICTURES_HELP = "outside pictures: fit and judge, in each a folder a kind, and sources.json"


def add_commands(commands) -> None:
    """Adds the command of this module."""
    text = "teach and judge the guard, which tells chest films from other pictures"
    parser = commands.add_parser("guard", help=text, description=f"{text.capitalize()}.")
    actions = parser.add_subparsers(required=True, metavar="action")
    train = actions.add_parser("train", help="teach its network on the train split and choose its limits")
    flag(train, "steps", type=int, default=1200, help="batches; 1200 if left out")
    flag(train, "weights", type=Path, help="folder that the weights go to; the package's own if left out")
    judge = actions.add_parser("judge", help="count what it lets through and what it catches")
    flag(judge, "json", action="store_true", help="the figures on standard output, nothing else there")
    flag(judge, "output_dir", type=Path, help="where results goes; the project's folder")
    for action, run in ((train, _train), (judge, _judge)):
        flag(action, "data", required=True, help="a source or a folder of real films")
        flag(action, "pictures", type=Path, help=PICTURES_HELP)
        action.set_defaults(run=run)


def _train(arguments) -> None:
    from pneumo_utils.data.sources import choose_data, load_split
    from tools.teach_guard import network, teach

    choice = choose_data(arguments.data)
    say(choice.sentence)
    train, val = (load_split(choice, part, image_size=teach.FILM_SIZE) for part in ("train", "val"))
    pictures = teach.read_pictures(arguments.pictures, "fit")
    batches = teach.GuardBatches(train.images, pictures)
    net = teach.train_film_kinds(batches, num_steps=arguments.steps, say=say)
    limits = teach.choose_limits(net, val.images)
    card = {
        "data": train.source,
        "films": {"train": len(train), "val": len(val)},
        "pictures": {kind: len(images) for kind, images in pictures.items()},
        "sources": _read_sources(arguments.pictures),
        "steps": arguments.steps,
        "weights": sum(weight.numel() for weight in net.parameters()),
    }
    path = network.save_film_kinds(net, limits, card, arguments.weights or network.WEIGHTS)
    print(f"Rejects below {limits[0]:.3f}, warns below {limits[1]:.3f}: {path}")


def _judge(arguments) -> None:
    from pneumo_utils.data.sources import choose_data, load_split
    from tools.teach_guard.judge import judge_guard
    from tools.teach_guard.teach import read_pictures

    choice = choose_data(arguments.data)
    say(choice.sentence)
    films = load_split(choice, "test", image_size=224)
    seen = (
        frozenset(path.name for path in arguments.pictures.glob("fit/*"))
        if arguments.pictures
        else frozenset()
    )
    pictures = read_pictures(arguments.pictures, "judge")
    result = {"data": films.source, "split": films.split, "sources": _read_sources(arguments.pictures)}
    result |= judge_guard(films.images, pictures=pictures, seen_kinds=seen)
    path = get_folders(arguments).root / "results" / "guard.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result) if arguments.json else _format(result["rows"]))
    say(f"The figures are in {path}")


def _read_sources(pictures: Path | None) -> list[str]:
    path = pictures and pictures / "sources.json"
    return json.loads(path.read_text(encoding="utf-8"))["sources"] if path and path.is_file() else []


def _format(rows: list[dict]) -> str:
    lines = [f"{'kind':<36}{'learnt':>7}{'n':>6}{'accepted':>10}{'warned':>8}{'rejected':>10}"]
    for row in rows:
        counts = f"{row['n']:>6}{row['accepted']:>10}{row['warned']:>8}{row['rejected']:>10}"
        lines.append(f"{row['name']:<36}{'yes' if row['is_seen'] else 'no':>7}{counts}")
    return "\n".join(lines)
