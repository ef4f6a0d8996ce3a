"""Draws the diagrams: each ``*.mmd`` of this folder becomes an ``*.svg``, which is checked in.

So the site needs no script from elsewhere, and the diagrams are there without JavaScript. Run it after a change of
a diagram; it needs npm, for mermaid, and Chromium. A test tells when a drawing is older than its source.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MERMAID: Final = "mermaid@11.17.2"
HERE: Final = Path(__file__).parent
SETTINGS: Final = {
    "startOnLoad": False,
    "sequence": {"mirrorActors": False},
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False},
    "state": {"nodeSpacing": 90, "rankSpacing": 110},
    "fontFamily": "sans-serif",
    "theme": "base",
    "themeVariables": {
        "primaryColor": "#e8eaf6",
        "primaryBorderColor": "#5c6bc0",
        "lineColor": "#424242",
        "clusterBkg": "#fafafa",
        "clusterBorder": "#9e9e9e",
        "noteBkgColor": "#fff8e1",
        "noteBorderColor": "#bfa14a",
        "edgeLabelBackground": "#ffffff",
    },
    "deterministicIds": True,
}
PAGE: Final = """<!doctype html><meta charset="utf-8"><body><script src="mermaid.min.js"></script><script>
mermaid.initialize(%(settings)s);
mermaid.render("diagram", %(source)s).then(
  ({svg}) => { document.body.innerHTML = svg; },
  (error) => { document.body.textContent = "failed: " + error; });
</script></body>"""


def digest(source: str) -> str:
    """What a drawing carries to say of which source it is."""
    return hashlib.sha256(source.encode()).hexdigest()


def draw(source: str, folder: Path) -> str:
    """Draw one diagram with the ``mermaid.min.js`` in ``folder``."""
    page = folder / "page.html"
    page.write_text(PAGE % {"settings": json.dumps(SETTINGS), "source": json.dumps(source)}, encoding="utf-8")
    chromium = shutil.which("chromium") or "chromium-browser"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--window-size=1400,1000",
    ]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        page.as_uri(),
    ]
    dom = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    match = re.search(r"<svg.*</svg>", dom, re.DOTALL)
    if match is None:
        sys.exit(f"mermaid drew nothing: {html.unescape(dom[-400:])}")
    svg = match[0].replace("<br>", "<br/>").replace("&nbsp;", "&#160;")
    return svg.replace(">", f"><!-- source: {digest(source)} -->", 1) + "\n"


def main() -> None:
    """Draw all that have changed, or those that the command line names."""
    sources = [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.mmd"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch = [shutil.which("npm") or "npm", "pack", "--silent", MERMAID]
        subprocess.run(fetch, check=True, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603
        (archive,) = folder.glob("mermaid-*.tgz")
        shutil.unpack_archive(archive, folder, filter="data")
        (folder / "package/dist/mermaid.min.js").rename(folder / "mermaid.min.js")
        for source in sources:
            svg = draw(source.read_text(encoding="utf-8"), folder)
            source.with_suffix(".svg").write_text(svg, encoding="utf-8")
            print(f"drew {source.with_suffix('.svg').name}")


if __name__ == "__main__":
    main()
