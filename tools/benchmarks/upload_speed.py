"""From an upload to the answer in a browser, on the page that `pneumo app` serves, with the model loaded.

FOLDER holds films as they come, in the folders NORMAL and PNEUMONIA. Each film is given to the drop zone; the
first time ends when its card is on the page, the second when the saliency map lies on it. Needs Debian's
chromium, playwright and Voila.
"""

import statistics
import tempfile
import time
from pathlib import Path

from test_browser import choose, find_port, open_page, serve


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=10)


def measure(arguments) -> dict[str, list[float]]:
    """Seconds until the card and until the map, for one film after another."""
    films = sorted(arguments.folder.glob("*/*.jp*g"))
    films = films[:: max(1, len(films) // arguments.repeats)]
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
        for film in films[1 : arguments.repeats + 1]:
            page.get_by_text("Clear").click()
            page.locator(".pneumo-card").wait_for(state="detached")
            started = time.perf_counter()
            choose(page, ".pneumo-drop", [film])
            page.locator(".pneumo-card", has_text=film.name).wait_for()
            times["answer"].append(time.perf_counter() - started)
            page.locator(".pneumo-film img.map[src]").wait_for()
            times["map"].append(time.perf_counter() - started)
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:7}{median:.2f} s, at worst {max(values):.2f} s of {len(values)} films")
    return times
