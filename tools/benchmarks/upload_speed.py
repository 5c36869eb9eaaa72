"""From an upload to the answer in a browser, on the page that `pneumo app` serves, with the model loaded.

    python benchmarks/upload_speed.py FOLDER [--repeats 10] [--json FILE]

FOLDER holds films as they come, in the folders NORMAL and PNEUMONIA. Each film is given to the drop zone; the
first time ends when its card is on the page, the second when the saliency map lies on it. Needs Debian's
chromium, playwright and Voila.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from test_browser import choose, find_port, open_page, serve


def measure(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds until the card and until the map, for one film after another."""
    films = sorted(folder.glob("*/*.jp*g"))[:: max(1, len(list(folder.glob("*/*.jp*g"))) // repeats)]
    times, port = {"answer": [], "map": []}, find_port()
    words = ["pneumo_utils", "app", "--no-browser", "--port", str(port)]
    with (
        tempfile.TemporaryDirectory() as home,
        serve(words, Path(home), port=port, ready="/voila/static/voila.js") as address,
        open_page(address) as page,
    ):
        page.wait_for_selector(".pneumo-drop")
        choose(page, ".pneumo-drop", films[:1])  # loads what is loaded once
        page.locator(".pneumo-film img.map[src]").wait_for()
        for film in films[1 : repeats + 1]:
            page.get_by_text("Clear").click()
            page.locator(".pneumo-card").wait_for(state="detached")
            started = time.perf_counter()
            choose(page, ".pneumo-drop", [film])
            page.locator(".pneumo-card", has_text=film.name).wait_for()
            times["answer"].append(time.perf_counter() - started)
            page.locator(".pneumo-film img.map[src]").wait_for()
            times["map"].append(time.perf_counter() - started)
    return times


def main() -> None:
    """Prints medians and the worst; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    times = measure(args.folder, args.repeats)
    for name, values in times.items():
        print(
            f"{name:7}{statistics.median(values):.2f} s, at worst {max(values):.2f} s of {len(values)} films"
        )
    if args.json:
        args.json.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(times))


if __name__ == "__main__":
    main()
