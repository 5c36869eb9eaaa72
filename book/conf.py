"""The course as a website, by Sphinx: `make book`.

Its pages are the lessons as they are stored, notes and cards as they are, and parts of README: nothing is
executed, nothing written twice. They are copied into the folder that Sphinx reads.
"""

import json
import posixpath
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
PAGES = ("*.md", "notebooks/*.md", "notebooks/*.ipynb", "pneumo_utils/models/weights/*.md")
PICTURES = ("notebooks/*.png", "results/*.png")
WIDGET = "application/vnd.jupyter.widget-view+json"

project = html_title = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
extensions = ["myst_nb"]
exclude_patterns = ["README.md"]  # the pages of this folder show its parts
highlight_language = "none"  # of a block that names no language
nb_execution_mode = "off"
nb_render_markdown_format = "gfm"  # outputs hold tables
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline"]
html_theme = "furo"
html_favicon = "icon.svg"
html_static_path = html_css_files = ["site.css"]
html_copy_source = html_use_index = html_show_copyright = False
pygments_dark_style = "a11y-high-contrast-dark"


def adapt_page(text: str, folder: str, site: set[str]) -> str:
    """A page for the site: badges become plain links, links to files that it lacks go to the repository.

    Anchors of headings become those of the site, in lower case without punctuation, whether they were written
    for Jupyter or GitHub; the glossary's become Markdown, so that Sphinx knows them.

    Args:
        text: Markdown, or a notebook that holds it.
        folder: The page's own, from which its links lead.
        site: All files of the site.
    """

    def lead_out(link: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[0]))
        if path in site or not (ROOT / path).exists():
            return link[0]
        return f"{URLS['Repository']}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"

    text = re.sub(r"\[!\[([^]]*)\]\(https:[^)]*\)\]", r"[\1]", text)
    text = re.sub(r'<a id="([^"]+)"></a>(\*\*[^*]+\*\*)', r"[\2]{#\1}", text)
    text = re.sub(r"(?<=\]\(#)[^)\s]+(?=\))", lambda anchor: re.sub(r"[^\w-]", "", anchor[0].lower()), text)
    return re.sub(r"(?<=\]\()[\w./-]+(?=\))", lead_out, text)


def drop_widgets(text: str) -> str:
    """A notebook without its widgets, so that the sentence stored beside each is shown."""
    notebook = json.loads(text)
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        output.get("data", {}).pop(WIDGET, None)
    return json.dumps(notebook)


def setup(app) -> None:
    """Copies pages and pictures into the folder that Sphinx reads."""
    files = {path.relative_to(ROOT).as_posix(): path for part in PAGES + PICTURES for path in ROOT.glob(part)}
    files |= {path.name: path for path in (ROOT / "book").glob("*.md")}
    for name, path in files.items():
        target = Path(app.srcdir, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            target.write_bytes(path.read_bytes())
            continue
        text = path.read_text(encoding="utf-8")
        text = drop_widgets(text) if path.suffix == ".ipynb" else text
        target.write_text(adapt_page(text, posixpath.dirname(name), set(files)), encoding="utf-8")
