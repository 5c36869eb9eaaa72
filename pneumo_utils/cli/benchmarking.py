"""`pneumo benchmark`: runs the scripts of `benchmarks/` and keeps what they measure in one file."""

import json
import subprocess
import sys
from pathlib import Path

from pneumo_utils.cli.common import flag, get_folders, say
from pneumo_utils.errors import PneumoError, UsageError

FILMS = {
    "training_speed": "films",
    "inference_speed": "films",
    "upload_speed": "films",
    "frozen_stage": "data",
    "memory_and_growth": "data",
}
"""Scripts that need films, and whether it is the folder of `--films` or that of `--data`."""


def add_commands(commands) -> None:
    """Adds the command of this module."""
    text = "measure the project against what people use instead"
    parser = commands.add_parser("benchmark", help=text, description=f"{text.capitalize()}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts of benchmarks/; all if left out")
    flag(parser, "films", type=Path, help="films as they come, in the folders NORMAL and PNEUMONIA")
    flag(parser, "data", type=Path, help="a data set in the layout of ChestXRay2017")
    flag(parser, "output_dir", type=Path, help="where build/benchmark.json goes; the project's folder")
    parser.set_defaults(run=_benchmark)


def _benchmark(arguments) -> None:
    folders = get_folders(arguments)
    measured = {
        name: _run(script, _list_words(name, arguments), folders.build / "benchmarks")
        for name, script in _choose_scripts(arguments.names).items()
    }
    path = folders.build / "benchmark.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(kept | measured, indent=1) + "\n", encoding="utf-8")
    say(f"The figures are in {path}")


def _choose_scripts(names: list[str]) -> dict[str, Path]:
    from pneumo_utils.config import default_folders

    folder = default_folders().root / "benchmarks"
    found = {path.stem: path for path in sorted(folder.glob("*.py"))}
    if not found:
        raise PneumoError(f"{folder} holds no script; run this in a copy of the project's repository.")
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise UsageError(f"There is no benchmark {', '.join(unknown)}; expected {', '.join(found)}.")
    return {name: found[name] for name in names or found}


def _list_words(name: str, arguments) -> list[str]:
    needed = FILMS.get(name)
    if needed is None:
        return []
    folder = getattr(arguments, needed)
    if folder is None or not folder.is_dir():
        raise UsageError(f"{name} needs --{needed}; got {folder}, expected a folder.")
    return [str(folder)]


def _run(script: Path, words: list[str], folder: Path) -> dict:
    say(f"--- {script.stem}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{script.stem}.json"
    done = subprocess.run([sys.executable, str(script), *words, "--json", str(path)], check=False)
    if done.returncode:
        raise PneumoError(f"{script.name} ended with exit code {done.returncode}; see its lines above.")
    return json.loads(path.read_text(encoding="utf-8"))
