"""The website: `make book` warns of nothing, its links lead somewhere, and it opens in a real browser."""

import functools
import re
import subprocess
import sys
import threading
from html import escape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import pytest
from conftest import ROOT
from lessons import ADDRESS, LESSONS, NOTEBOOKS, make_badge
from test_browser import CHROMIUM, MEASURE_CONTRAST, open_page

COMMAND = re.search(r"\$\(BIN\)/python -m (sphinx .+)", (ROOT / "Makefile").read_text(encoding="utf-8"))[1]
CARDS = sorted(path.stem for path in (ROOT / "pneumo_utils" / "models" / "weights").glob("*.md"))
LOADING = {"script", "img", "iframe", "link", "source", "audio", "video", "object", "embed"}
"""Elements whose address a browser fetches by itself."""


class Page(HTMLParser):
    """What a page names: its title, its anchors, where it leads, what it loads."""

    def __init__(self, path: Path):
        super().__init__()
        text = path.read_text(encoding="utf-8")
        self.title = re.search(r"<title>([^<]*)</title>", text)[1] if "<title>" in text else None
        self.anchors, self.links, self.loaded = {""}, set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        named = {values[name] for name in ("href", "src", "data") if values.get(name)}
        self.links |= named
        if tag in LOADING:
            self.loaded |= named


def read_pages(site: Path) -> dict[str, Page]:
    """The pages of a folder, by their addresses in it."""
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


def find_broken_links(site: Path) -> list[tuple[str, str]]:
    """Page and link of each link to a file or an anchor that is not in the folder."""
    pages, broken = read_pages(site), []
    for name, page in pages.items():
        for link in sorted(page.links):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target = urlsplit(urljoin(name, link))
            path, anchor = unquote(target.path) or name, unquote(target.fragment)
            anchors = pages[path].anchors if path in pages else {anchor}
            if not (site / path).is_file() or anchor not in anchors:
                broken.append((name, link))
    return broken


def find_outside_loads(site: Path) -> list[str]:
    """What pages and styles would fetch from another host."""
    found = [link for page in read_pages(site).values() for link in page.loaded]
    for path in site.rglob("*.css"):
        found += re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", path.read_text(encoding="utf-8"))
    return [link for link in found if urlsplit(link).netloc]


def test_a_broken_link_and_a_load_from_outside_are_found(tmp_path):
    (tmp_path / "in").mkdir()
    links = '<a href="in/b.html#here">1</a><a href="#top">2</a><a href="https://x.org">3</a><img src="data:">'
    (tmp_path / "a.html").write_text(
        f'<title>A</title><p id="top">{links}<a href="in/b.html?v=1"></a>', encoding="utf-8"
    )
    (tmp_path / "in" / "b.html").write_text('<p id="here"><a href="../a.html">4</a>', encoding="utf-8")
    assert find_broken_links(tmp_path) == [] == find_outside_loads(tmp_path)
    wrong = '<a href="../a.html#gone"></a><img src="gone.png"><a href="#gone"></a><script src="//x.org/s.js">'
    (tmp_path / "in" / "b.html").write_text(f'<p id="here">{wrong}', encoding="utf-8")
    (tmp_path / "s.css").write_text(
        "@import 'https://x.org/f.css'; p { background: url(data:image/png;,) }", encoding="utf-8"
    )
    assert [link for _, link in find_broken_links(tmp_path)] == ["#gone", "../a.html#gone", "gone.png"]
    assert find_outside_loads(tmp_path) == ["//x.org/s.js", "https://x.org/f.css"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder that the command of `make book` fills, which ends at a warning with an error."""
    build = tmp_path_factory.mktemp("build")
    (build / "book_src").mkdir()
    words = COMMAND.replace("build/", f"{build}/").split()
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    return build / "book"


@pytest.mark.system
def test_every_link_leads_somewhere_and_nothing_is_loaded_from_outside(site):
    assert find_broken_links(site) == [] == find_outside_loads(site)


@pytest.mark.system
def test_all_pages_are_there_each_with_a_title_of_its_own_and_the_first_leads_to_them(site):
    pages = read_pages(site)
    titles = [page.title for page in pages.values()]
    assert all(titles) and len(set(titles)) == len(titles)
    wanted = {f"notebooks/{Path(name).stem}.html" for name in LESSONS}
    wanted |= {f"pneumo_utils/models/weights/{name}.html" for name in CARDS}
    wanted |= {"notebooks/glossary.html", "notebooks/instructors.html", "results.html", "running.html"}
    wanted |= {"CONTRIBUTING.html", "CHANGELOG.html", "SECURITY.html"}
    assert set(pages) == wanted | {"index.html", "search.html"}
    assert wanted | {ADDRESS} <= pages["index.html"].links


@pytest.mark.system
@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_keeps_its_figures_folds_outputs_and_the_way_to_colab(site, name):
    text = (site / "notebooks" / name).with_suffix(".html").read_text(encoding="utf-8")
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    alts = [facts["alt"] for output in outputs for facts in output.get("metadata", {}).values()]
    assert alts and [alt for alt in alts if f'alt="{escape(alt)}"' not in text] == []
    folds = sum(cell.source.count("<details>") for cell in cells if cell.cell_type == "markdown")
    assert text.count("<details>") == text.count("</details>") == folds > 0
    tables = sum("| --- |" in output.get("data", {}).get("text/markdown", "") for output in outputs)
    assert text.count("<table") >= tables
    assert f'href="{make_badge(name).split("](")[-1].rstrip(")")}"' in text
    assert "widget-view" not in text and "VBox(" not in text


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served on loopback."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.system
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_it_can_be_searched_and_read_on_a_telephone_and_in_the_dark(site, address):
    """Every page: no request elsewhere, no error, a contrast of 4.5 : 1 (WCAG 2.2), no sideways scroll."""
    with open_page("about:blank", width=400) as page:
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)

        page.goto(f"{address}/search.html?q=bootstrap")
        hit = page.locator("#search-results a", has_text="Evaluate and compare").first
        hit.click()
        assert page.title().startswith("04 - Evaluate and compare")
        answer = page.locator("article details").first
        answer.locator("summary").focus()
        page.keyboard.press("Enter")
        assert answer.evaluate("fold => fold.open")
        page.locator(".sidebar-search").focus()  # in the menu, which comes out for the keyboard
        came_out = "document.querySelector('.sidebar-drawer').getBoundingClientRect().left === 0"
        page.wait_for_function(came_out, timeout=10_000)

        for name in read_pages(site):
            page.goto(f"{address}/{name}")
            parts = page.locator("html, .content")  # the theme scrolls the second where the first would be
            assert max(parts.evaluate_all("parts => parts.map(part => part.scrollWidth)")) <= 400, name
            page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
            grounds = []
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                measured = page.evaluate(MEASURE_CONTRAST.replace(".jp-OutputArea-output", "body"))
                assert measured and [words for ratio, words in measured if ratio < 4.5] == [], (name, scheme)
                grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert grounds[0] == "rgb(255, 255, 255)" != grounds[1]
        assert [url for url in requests if not url.startswith((f"{address}/", "data:"))] == errors == []
