"""Teaches and judges the guard's network: `python -m tools.teach_guard train` and `judge`."""

import argparse
import json
import sys
from pathlib import Path

from pneumo_utils import cli
from pneumo_utils.data.sources import choose_data, load_split
from tools.teach_guard import network, teach
from tools.teach_guard.judge import judge_guard


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.teach_guard", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="action")
    text = "teach the network on the train split and choose its limits"
    train = cli.add_command(actions, "train", _train, text=text)
    cli.add_flag(train, "steps", type=int, default=2000, help="batches; 2000 if left out")
    cli.add_flag(train, "weights", type=Path, help="where the weights go; into the package if left out")
    judge = cli.add_command(actions, "judge", _judge, text="count what it lets through and what it catches")
    cli.add_flag(
        judge, "json", action="store_true", help="the figures on standard output, nothing else there"
    )
    cli.add_flag(judge, "output_dir", type=Path, help="where results goes; the project's folder")
    for action in (train, judge):
        cli.add_flag(action, "data", required=True, help="a source or a folder of real films")
        text = "outside pictures: fit and judge, in each a folder a kind, and sources.json"
        cli.add_flag(action, "pictures", type=Path, help=text)
    return cli.run(parser, words)


def _train(arguments) -> None:
    choice = choose_data(arguments.data)
    cli.say(choice.sentence)
    train, val = (load_split(choice, part, image_size=teach.FILM_SIZE) for part in ("train", "val"))
    pictures = teach.read_pictures(arguments.pictures, "fit")
    counts = {kind: len(images) for kind, images in pictures.items()}
    elsewhere, held = teach.take_elsewhere(pictures)
    batches = teach.GuardBatches(train.images, pictures, elsewhere)
    net = teach.train_film_kinds(batches, num_steps=arguments.steps, say=cli.say)
    limits = teach.choose_limits(net, val.images, held)
    card = {
        "data": train.source,
        "films": {"train": len(train), "val": len(val)},
        "pictures": counts,
        "sources": _read_sources(arguments.pictures),
        "steps": arguments.steps,
        "weights": sum(weight.numel() for weight in net.parameters()),
    }
    path = network.save_film_kinds(net, limits, card, arguments.weights or network.WEIGHTS)
    said = ", ".join(f"{name} {limit:.3g}" for name, limit in limits.items())
    print(f"{said}: {path}")


def _judge(arguments) -> None:
    choice = choose_data(arguments.data)
    cli.say(choice.sentence)
    films = load_split(choice, "test", image_size=224, preset="grey")  # as the guard gets them
    pictures = teach.read_pictures(arguments.pictures, "judge")
    seen = {path.name for path in arguments.pictures.glob("fit/*")} if arguments.pictures else set()
    result = {"data": films.source, "split": films.split, "sources": _read_sources(arguments.pictures)}
    result |= judge_guard(films.images, pictures=pictures, seen_kinds=frozenset(seen))
    path = cli.get_folders(arguments).root / "results" / "guard.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(json.dumps(result) if arguments.json else _format(result["rows"]))
    cli.say(f"The figures are in {path}")


def _read_sources(pictures: Path | None) -> list[str]:
    path = pictures and pictures / "sources.json"
    return json.loads(path.read_text(encoding="utf-8"))["sources"] if path and path.is_file() else []


def _format(rows: list[dict]) -> str:
    lines = [f"{'kind':<36}{'learnt':>7}{'n':>6}{'accepted':>10}{'warned':>8}{'rejected':>10}"]
    for row in rows:
        counts = f"{row['n']:>6}{row['accepted']:>10}{row['warned']:>8}{row['rejected']:>10}"
        lines.append(f"{row['name']:<36}{'yes' if row['is_seen'] else 'no':>7}{counts}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
