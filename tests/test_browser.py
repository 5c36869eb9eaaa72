"""Lesson 05 in JupyterLab, and its panel as a page of Voila, in a real browser: films in, answers out.

One test makes a picture of the panel; with a film named, `PNEUMO_PANEL_FILM=.../film.jpeg pytest
tests/test_browser.py -k picture`, it writes the one that lesson 05 shows, `notebooks/panel.png`.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
from conftest import PATIENCE_S, ROOT, make_chest_film, run_pneumo
from PIL import Image

from pneumo_utils.app.jupyter import CELL

CHROMIUM = shutil.which("chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
LESSON = "05_interactive_inference.ipynb"
SCREENSHOTS = ROOT / "build" / "screenshots"
PANEL_FILM = os.environ.get("PNEUMO_PANEL_FILM")
MAX_PICTURE_BYTES = 150_000
BIG_SIDE = 4600
"""Of a film of 16 bits that has 42 MB as a PNG without compression, pixels."""

DROP_ONE_BY_ONE = """contents => {
  const zone = document.querySelector(".pneumo-drop");
  contents.forEach((content, place) => {
    const dataTransfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], place + ".png"));
    zone.dispatchEvent(new DragEvent("drop", { dataTransfer }));
  });
  return zone.innerText;
}"""
"""Drops files so fast that no kernel has the first by then; gives what the zone says."""

MEASURE_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = {};
  const measure = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
  };
  const read = (colour) => (known[colour] ??= measure(colour));
  const mix = (top, under, share) => under.map((value, i) => share * top[i] + (1 - share) * value);
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const found = [];
  for (const output of document.querySelectorAll(".jp-OutputArea-output")) {
    const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode.data.trim();
      const holder = texts.currentNode.parentElement;
      if (!text || holder.closest(":disabled")) continue;
      if (!holder.checkVisibility({ visibilityProperty: true })) continue;
      const line = [];
      for (let part = holder; part; part = part.parentElement) line.unshift(getComputedStyle(part));
      let [under, opacity] = [[1, 1, 1], 1];
      for (const style of line) {
        const colour = read(style.backgroundColor);
        under = mix(colour, under, colour[3]);
        opacity *= style.opacity;
      }
      const ink = read(line.at(-1).color);
      const [dark, bright] = [under, mix(ink, under, ink[3] * opacity)].map(light).sort((a, b) => a - b);
      found.push([(bright + 0.05) / (dark + 0.05), text]);
    }
  }
  return found;
}"""
"""The contrast of every text in the outputs that is not of a control switched off, as WCAG 2.2 defines it."""

STATES = """import time
from IPython.display import HTML
from conftest import make_prediction
from pneumo_utils.app import cards
from pneumo_utils.app.jupyter import build_app_panel
panel = build_app_panel()
read = panel.reader.read
panel.reader.read = lambda name, source: time.sleep(12 * (name == "slow.png")) or read(name, source)
long = ["There is an even frame around the film, which films of this kind do not have; cut it off first."] * 3
said = [make_prediction("a.png", prob=0.1), make_prediction("b.png", prob=0.8, warnings=long)]
said += [make_prediction("c.png", refer=True), make_prediction("d.png", prob=None, reason="It is empty.")]
display(HTML(cards.STYLE + "".join(cards.make_card(one, refer_range=(0.2, 0.8)) for one in said)))
display(HTML(cards.make_answer_table(said)), panel.box)"""
"""A panel, and an answer of every kind: NORMAL, PNEUMONIA with warnings, one for a person, rejected."""

GONE = "The program behind this panel has stopped or was started anew; run its cell again"
SILENT = "No answer for 8 s"

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("heavy")]
pytestmark += [pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A project folder with a trained model, a copy of the lesson and the settings of the servers."""
    home = tmp_path_factory.mktemp("home")
    trained = run_pneumo("train", "--model", "cnn_baseline", "--data", "synthetic", cwd=home)
    assert trained.returncode == 0, trained.stderr
    lesson = nbformat.read(ROOT / "notebooks" / LESSON, as_version=4)
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(lesson, home / LESSON)
    shutil.copy(ROOT / "notebooks" / "panel.png", home)
    for name, source in (("panel", CELL), ("states", STATES)):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, home / f"{name}.ipynb")
    # A reader who wants the state of widgets kept: a film must not be in it all the same.
    manager = home / "settings" / "@jupyter-widgets" / "jupyterlab-manager"
    manager.mkdir(parents=True)
    (manager / "plugin.jupyterlab-settings").write_text('{"saveState": true}', encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Path]:
    """Files to upload, by what they are."""
    folder = tmp_path_factory.mktemp("films")
    paths = {name: folder / f"{name}.png" for name in ("one", "two", "three", "slow", "big")}
    for seed, name in enumerate(("one", "two", "three", "slow")):
        Image.fromarray(make_chest_film(seed, shape=(300, 360))).save(paths[name])
    wide = make_chest_film(3, shape=(BIG_SIDE, BIG_SIDE)).astype(np.uint16) * 256
    Image.fromarray(wide).save(paths["big"], compress_level=0)
    paths["rubbish"] = folder / "saved_page.jpeg"
    paths["rubbish"].write_text("<html></html>", encoding="utf-8")
    return paths


class Server(NamedTuple):
    """A server that runs: where, and the number of its process."""

    address: str
    pid: int

    def find_kernel(self) -> int:
        """The process of the kernel that was started last."""
        words = ["pgrep", "--newest", "--parent", str(self.pid), "--full", "ipykernel_launcher"]
        return int(subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout)


@contextmanager
def serve(words: list[str], home: Path, *, port: int, ready: str):
    """A `Server` on loopback, its kernels with the tests' modules at hand."""
    settings = {"PNEUMO_HOME": str(home), "PNEUMO_FAST": "1", "PNEUMO_DATA": "synthetic"}
    settings |= {"JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    settings["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    settings["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with open(home / "server.log", "a", encoding="utf-8") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=home, env=os.environ | settings, stdout=log, stderr=log
        )
        try:
            wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}{ready}"))
            assert server.poll() is None, (home / "server.log").read_text(encoding="utf-8")[-3000:]
            yield Server(f"http://127.0.0.1:{port}", server.pid)
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:  # JupyterLab waits for a kernel that was just started anew
                server.kill()
                server.wait()


def find_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=60).close()
    except OSError:
        return False
    return True


def wait_until(holds) -> None:
    """Until a condition outside the page holds; it is looked at twice a second."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.5)


@contextmanager
def open_page(address: str, *, width: int = 1280):
    """A page in a browser with a fresh profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS.split(), timeout=PATIENCE_S * 1000
        )
        page = browser.new_page(viewport={"width": width, "height": 1000})
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(address, wait_until="domcontentloaded")
        yield page
        browser.close()


def open_chooser(page, selector: str):
    """Clicks the last button or drop zone of its kind: a lesson demonstrates others before."""
    control = page.locator(selector).last
    control.scroll_into_view_if_needed()
    with page.expect_file_chooser() as chooser:
        control.click()  # a button that is off is waited for
    return chooser.value


def choose(page, selector: str, *files: Path) -> None:
    """Chooses files at a button or drop zone."""
    open_chooser(page, selector).set_files([str(file) for file in files])


def wait_for_row(page, name: str, *, place: int) -> None:
    """Until a film stands in that place of the table of all films, 1 or more."""
    table = page.locator(".pneumo-wide").last
    table.locator(f"tr:nth-child({place + 1})", has_text=name).wait_for()


def wait_for_answer(page, name: str) -> str:
    """The text of the card of a film, once it is there."""
    card = page.locator(".pneumo-card", has_text=name).last
    card.wait_for()
    return card.inner_text()


def take_screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".pneumo-drop").last.scroll_into_view_if_needed()
    page.get_by_text("One moment").last.wait_for(state="hidden")
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def check_answers(page, films: dict[str, Path]) -> None:
    """One film, three, rubbish and 42 MB, by both ways in; the last film shown stays with its map."""
    choose(page, "button.widget-upload", films["one"])
    text = wait_for_answer(page, "one.png")
    assert "a probability of" in text and ("NORMAL" in text or "PNEUMONIA" in text)
    picture = page.locator(".pneumo-film img").nth(-2)
    picture.wait_for()
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [360, 300]
    page.locator(".pneumo-film img.map[src]").last.wait_for()

    choose(page, ".pneumo-drop", films["three"], films["two"], films["rubbish"])
    wait_for_answer(page, "three.png")
    wait_for_row(page, "saved_page.jpeg", place=4)
    rows = page.locator(".pneumo-wide").last.locator("tr").all_inner_texts()
    assert [row.split()[1] for row in rows[1:]] == ["one.png", "three.png", "two.png", "saved_page.jpeg"]
    assert "Rejected" in rows[4] and "export the film" in rows[4]

    for place, selector in enumerate(("button.widget-upload", ".pneumo-drop"), start=5):
        choose(page, selector, films["big"])
        wait_for_row(page, "big.png", place=place)
    assert "a probability of" in wait_for_answer(page, "big.png")


@pytest.fixture(scope="module")
def lab(home):
    """A JupyterLab over the project folder."""
    port = find_port()
    words = f"jupyter lab --no-browser --allow-root --ip=127.0.0.1 --port={port} --IdentityProvider.token="
    with serve([*words.split(), f"--ServerApp.root_dir={home}"], home, port=port, ready="/api") as server:
        yield server


@contextmanager
def run_in_lab(lab: Server, notebook: str):
    """A page of JupyterLab in which all cells of a notebook have been set going."""
    with open_page(f"{lab.address}/lab/tree/{notebook}?reset") as page:
        # The status bar's word: before it the kernel is not connected, and running all cells would be lost.
        page.wait_for_selector("text=| Idle")
        page.locator("li.lm-MenuBar-item", has_text="Run").click()
        page.get_by_text("Run All Cells", exact=True).click()
        yield page


def test_lesson_05_answers_in_jupyterlab_and_keeps_no_film(home, lab, films):
    with run_in_lab(lab, LESSON) as page:
        page.locator("button.widget-upload").nth(1).wait_for(state="attached")  # of lesson and panel
        page.locator(".pneumo-drop").wait_for(state="attached")
        page.get_by_text("of 14 films read").wait_for(state="attached")
        check_answers(page, films)
        figures = page.locator(".jp-OutputArea-output img[src^='data:image/png']")
        texts = figures.evaluate_all("images => images.map(image => image.alt)")
        assert len(texts) >= 3 and all(texts) and any("warm-up 4" in text for text in texts)
        assert page.locator("img[src*='panel.png']").get_attribute("alt").startswith("The upload panel")
        take_screenshot(page, "lab")
        wait_until(lambda: page.keyboard.press("Control+s") or was_run(home / LESSON))
    text = (home / LESSON).read_text(encoding="utf-8")
    saved = json.loads(text)
    assert "widgets" not in saved["metadata"]
    outputs = json.dumps([cell["outputs"] for cell in saved["cells"] if cell["cell_type"] == "code"])
    for name in ("one", "big"):
        content = films[name].read_bytes()
        pieces = [base64.b64encode(content[start : start + 300]).decode() for start in (60, 63, 66)]
        assert not any(piece[8:300] in outputs for piece in pieces)
        assert f"{name}.png" not in text


def was_run(path: Path) -> bool:
    """Whether the notebook on disk is one in which all cells have run."""
    cells = [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    return all(cell["execution_count"] for cell in cells)


@pytest.fixture(scope="module")
def app(home):
    """The panel as a page of its own."""
    port = find_port()
    words = ["pneumo_utils", "app", "--no-browser", "--port", str(port)]
    with serve(words, home, port=port, ready="/voila/static/voila.js") as server:
        yield server


def test_the_page_answers_and_shows_no_code(app, films):
    with open_page(app.address) as page:
        page.wait_for_selector(".pneumo-drop")
        assert "import" not in page.locator("body").inner_text()
        check_answers(page, films)
        with page.expect_download() as table:
            page.get_by_text("Save all answers").click()
        content = Path(table.value.path()).read_text(encoding="utf-8").splitlines()
        assert table.value.suggested_filename == "answers.csv" and len(content) == 1 + 6
        with page.expect_download() as sheet:
            page.get_by_text("Save this film").click()
        assert sheet.value.suggested_filename == "big.html"
        assert "data:image/jpeg;base64" in Path(sheet.value.path()).read_text(encoding="utf-8")
        take_screenshot(page, "page_1280")


def test_the_lessons_picture_of_the_panel_can_be_made_anew(films, tmp_path):
    """By a model that ships; the lesson's own is overwritten where a film was named."""
    film = Path(PANEL_FILM) if PANEL_FILM else films["one"]
    path = ROOT / "notebooks" / "panel.png" if PANEL_FILM else SCREENSHOTS / "panel.png"
    port = find_port()
    words = ["pneumo_utils", "app", "--no-browser", "--port", str(port)]
    with (
        serve(words, tmp_path, port=port, ready="/voila/static/voila.js") as server,
        open_page(server.address, width=1000) as page,
    ):
        page.wait_for_selector(".pneumo-drop")
        choose(page, ".pneumo-drop", film)
        wait_for_answer(page, film.name)
        page.locator(".pneumo-film img.map[src]").last.wait_for()
        page.get_by_text("One moment").last.wait_for(state="hidden")
        path.parent.mkdir(parents=True, exist_ok=True)
        page.locator(".pneumo-panel").screenshot(path=path)
    picture = Image.open(path).convert("RGB").quantize(256)
    picture.save(path, optimize=True)
    assert path.stat().st_size <= MAX_PICTURE_BYTES and min(picture.size) > 400


def test_films_that_come_while_it_works_are_taken_afterwards(app, films):
    """A hurried user: opens the button's dialogue, drops films one by one, clicks, then ends the dialogue."""
    with open_page(app.address) as page:
        page.wait_for_selector(".pneumo-drop")
        dialogue = open_chooser(page, "button.widget-upload")
        dropped = [
            base64.b64encode(films[name].read_bytes()).decode() for name in ("three", "two", "rubbish")
        ]
        assert page.evaluate(DROP_ONE_BY_ONE, dropped) == "One moment ... Then 2 more."
        choose(page, ".pneumo-drop", films["big"])
        dialogue.set_files(str(films["one"]))
        rows = page.locator(".pneumo-wide tr")
        rows.nth(5).wait_for()
        names = [row.split()[1] for row in rows.all_inner_texts()[1:]]
        assert len(names) == 5 and "one.png" in names  # whenever its turn came
        assert [name for name in names if name != "one.png"] == ["0.png", "1.png", "2.png", "big.png"]


def test_the_page_fits_a_telephone(app, films):
    with open_page(app.address, width=400) as page:
        page.wait_for_selector(".pneumo-drop")
        choose(page, ".pneumo-drop", films["one"], films["rubbish"])
        wait_for_answer(page, "one.png")
        for selector, axis in (("html", "Width"), (".pneumo-wide", "Width")):
            inside, outside = page.locator(selector).evaluate(
                f"part => [part.scroll{axis}, part.client{axis}]"
            )
            assert inside <= outside <= 400, selector
        for target in page.locator("button:visible, select:visible, .pneumo-drop").all():
            box = target.bounding_box()
            assert box["height"] >= 40 and box["x"] + box["width"] <= 400, target.inner_text()
        take_screenshot(page, "page_400")


# --- a program that is gone, silent or at work --------------------------------------------------------------


def open_panel(where: str, request):
    """The panel in JupyterLab or as a page: the server, and a context of the page."""
    server = request.getfixturevalue(where)
    return server, run_in_lab(server, "panel.ipynb") if where == "lab" else open_page(server.address)


def wait_for_end(page, films: dict[str, Path]) -> None:
    """Until the panel says, within 10 s, that its program is gone; then drops and a button say so as well."""
    zone = page.locator(".pneumo-drop", has_text=GONE)
    zone.wait_for(timeout=10_000)
    dropped = [base64.b64encode(films[name].read_bytes()).decode() for name in ("one", "two")]
    page.evaluate(DROP_ONE_BY_ONE, dropped)
    page.locator("button.pneumo-save").last.dispatch_event("click")
    page.locator(".pneumo-note", has_text=GONE).wait_for(timeout=10_000)
    assert zone.inner_text().startswith(GONE) and "more" not in zone.inner_text()
    assert page.locator(".pneumo-film img").first.is_visible()  # what has come stays


@pytest.mark.slow
@pytest.mark.parametrize("where", ["lab", "app"])
@pytest.mark.parametrize("while_it", ["is idle", "takes an upload"])
def test_the_panel_says_when_its_program_was_killed(request, films, where, while_it):
    server, opened = open_panel(where, request)
    with opened as page:
        page.wait_for_selector(".pneumo-drop")
        choose(page, ".pneumo-drop", films["one"])
        wait_for_answer(page, "one.png")
        page.locator(".pneumo-film img.map[src]").wait_for()
        if while_it == "takes an upload":
            choose(page, ".pneumo-drop", films["big"])
            page.locator(".pneumo-drop", has_text="Sending").wait_for()
        os.kill(server.find_kernel(), signal.SIGKILL)
        wait_for_end(page, films)


@pytest.mark.slow
def test_the_panel_says_when_its_program_was_started_anew(lab, films):
    with run_in_lab(lab, "panel.ipynb") as page:
        page.wait_for_selector(".pneumo-drop")
        choose(page, ".pneumo-drop", films["one"])
        wait_for_answer(page, "one.png")
        page.locator("li.lm-MenuBar-item", has_text="Kernel").click()
        page.get_by_text("Restart Kernel…", exact=True).click()
        page.locator(".jp-Dialog button", has_text="Restart").last.click()
        wait_for_end(page, films)
        choose(page, ".pneumo-drop", films["two"])
        page.locator(".pneumo-drop", has_text=GONE).wait_for(timeout=1_000)


@pytest.mark.slow
def test_a_program_out_of_reach_is_waited_for_and_not_called_dead(app, films):
    with open_page(app.address) as page:
        page.wait_for_selector(".pneumo-drop")
        kernel = app.find_kernel()
        os.kill(kernel, signal.SIGSTOP)
        try:
            choose(page, ".pneumo-drop", films["one"])
            page.locator(".pneumo-drop", has_text=SILENT).wait_for(timeout=10_000)
            assert GONE not in page.locator("body").inner_text()
        finally:
            os.kill(kernel, signal.SIGCONT)
        wait_for_answer(page, "one.png")
        page.locator(".pneumo-drop", has_text="Drop films here").wait_for()


# --- themes -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_every_text_stands_out_in_every_state(lab, home, films, theme):
    """A contrast of 4.5 : 1 (WCAG 2.2, 1.4.3), also while it works for longer than the page is patient."""
    folder = home / "settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "themes.jupyterlab-settings").write_text(
        json.dumps({"theme": f"JupyterLab {theme}"}), encoding="utf-8"
    )

    def check(text: str) -> None:
        page.locator(".jp-OutputArea-output").get_by_text(text).locator("visible=true").last.wait_for()
        measured = page.evaluate(MEASURE_CONTRAST)
        assert any(text in words for _, words in measured), text
        assert [(round(ratio, 2), words) for ratio, words in measured if ratio < 4.5] == []

    with run_in_lab(lab, "states.ipynb") as page:
        check("Drop films here")
        is_light = page.evaluate("document.body.dataset.jpThemeLight")
        assert is_light == ("true" if theme == "Light" else "false")
        page.get_by_placeholder("or the path").fill("/no/where.png")
        page.get_by_role("button", name="Read", exact=True).click()
        check("is not there")
        choose(page, ".pneumo-drop", films["slow"])
        check("Reading ...")
        time.sleep(10)
        check("Reading ...")  # and nothing of a program that might be gone
        check("slow.png")
        take_screenshot(page, f"states_{theme.lower()}")
        os.kill(lab.find_kernel(), signal.SIGKILL)
        check(GONE)
