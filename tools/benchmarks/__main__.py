"""Runs one benchmark and keeps its figures in `build/benchmark.json`, beside those of the others."""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from pneumo_utils import cli

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="tools.benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("words", nargs="...", help="of the benchmark; `NAME --help` lists them")
    name = parser.parse_args(words).name
    module = import_module(f"tools.benchmarks.{name}")
    form = argparse.RawDescriptionHelpFormatter
    own = argparse.ArgumentParser(
        prog=f"tools.benchmarks {name}", description=module.__doc__, formatter_class=form
    )
    module.add_flags(own)
    own.set_defaults(run=lambda arguments: _keep(name, module.measure(arguments)))
    return cli.run(own, words[1:])


def _keep(name: str, figures: dict) -> None:
    path = cli.default_folders().build / "benchmark.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept | {name: figures}, indent=1) + "\n", encoding="utf-8", newline="\n")
    cli.say(f"The figures are in {path}")


if __name__ == "__main__":
    sys.exit(main())
