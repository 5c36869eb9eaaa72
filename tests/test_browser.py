"""Lesson 05 in JupyterLab in a real browser: run all cells, upload a film, read the answer."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT, make_film, run_pneumo
from PIL import Image

CHROMIUM = shutil.which("chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
LESSON = "05_interactive_inference.ipynb"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


def find_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on loopback with a trained model and a copy of the lesson; gives its address and folder."""
    home = tmp_path_factory.mktemp("lab")
    trained = run_pneumo("train", "--model", "cnn_baseline", "--data", "synthetic", cwd=home)
    assert trained.returncode == 0, trained.stderr
    shutil.copy(ROOT / "notebooks" / LESSON, home)
    port = find_port()
    address = f"http://127.0.0.1:{port}"
    words = f"-m jupyter lab --no-browser --allow-root --ip=127.0.0.1 --port={port} --IdentityProvider.token="
    settings = {"PNEUMO_HOME": str(home), "PNEUMO_FAST": "1", "PNEUMO_DATA": "synthetic"}
    settings |= {"JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    with open(home / "lab.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, *words.split(), f"--ServerApp.root_dir={home}"],
            env=os.environ | settings,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(f"{address}/api")
            yield address, home
        finally:
            server.terminate()
            server.wait(timeout=60)


def wait_for(address: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} does not answer")


def open_lesson(page, address: str) -> None:
    page.goto(f"{address}/lab/tree/{LESSON}", wait_until="domcontentloaded")
    # The status bar's word: before it the kernel is not connected, and running all cells would be lost.
    page.wait_for_selector("text=| Idle", timeout=180_000)
    page.locator("li.lm-MenuBar-item", has_text="Run").click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function("document.querySelectorAll('button.widget-upload').length >= 2", timeout=300_000)


def upload(page, files: list[Path]) -> None:
    button = page.locator("button.widget-upload").last  # the panel's; the first belongs to a demonstration
    button.scroll_into_view_if_needed()
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files([str(file) for file in files])


def test_an_uploaded_film_is_answered_and_not_kept(lab, tmp_path):
    from playwright.sync_api import sync_playwright

    address, home = lab
    film, page_file = tmp_path / "my_film.png", tmp_path / "saved_page.jpeg"
    Image.fromarray(make_film(7, shape=(300, 360))).save(film)
    page_file.write_text("<html></html>")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        open_lesson(page, address)
        upload(page, [film, page_file])
        answer = page.locator(".jp-OutputArea-output", has_text="my_film.png: ").last
        answer.wait_for(timeout=120_000)
        page.locator(".jp-OutputArea-output", has_text="saved_page.jpeg: rejected").last.wait_for()
        shown = answer.inner_text()
        page.locator("button.widget-upload").last.scroll_into_view_if_needed()
        target = ROOT / "build" / "screenshots" / "upload.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(2000)
        browser.close()
    assert "P(pneumonia) = " in shown and ("NORMAL" in shown or "PNEUMONIA" in shown)
    saved = json.loads((home / LESSON).read_text())
    assert "widgets" not in saved["metadata"]
    executed = [cell for cell in saved["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in executed)  # it was saved after the run
