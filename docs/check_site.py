"""Open every page of a built site in a browser, and print what is broken.

Usage::

    python docs/check_site.py docs/_build/html
    python docs/check_site.py docs/_build/html --pages "user_guide/*" --screenshots FOLDER

The script serves the folder from this machine and opens each page in Chromium, at the widths of a
desktop and of a phone. A page is broken if

- the console shows an error, a script fails, or a request fails;
- the page requests anything from another host;
- an image is not drawn, or a formula is not typeset;
- a link leads to a page or an anchor that does not exist (links to other hosts are not followed);
- the page is wider than the window, or text is cut at its right edge;
- at desktop width, code or a table must be scrolled sideways.

The exit status is 1 if anything is broken. Needs Playwright, and Chromium or Google Chrome: the
installed browser, or the browser that ``playwright install chromium`` downloads.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

WINDOWS = {"desktop": (1400, 900), "phone": (390, 844)}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox of Chromium does not work in every container, and the pages are our own.
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")

# Returns what a page consists of, after its images and formulas are ready.
INSPECT = """async () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  await document.fonts.ready;
  const nameOf = (element) => {
    const text = (element.textContent || "").trim().replace(/\\s+/g, " ").slice(0, 60);
    const name = `${element.tagName.toLowerCase()} class="${element.className}"`;
    return `<${name}> ${text}`;
  };
  const mayBeWide = (element) => { // code and tables may scroll, but whole articles may not
    for (let e = element; e && !e.matches("main, .bd-article-container"); e = e.parentElement) {
      const {overflowX, textOverflow} = getComputedStyle(e);
      if (/auto|scroll/.test(overflowX) || textOverflow === "ellipsis") return true;
    }
    return false;
  };
  const texts = (element) => // may be wider than the box of the element
    [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => {
      const range = document.createRange();
      range.selectNode(node);
      return range;
    });
  const isCut = (element) => [element, ...texts(element)].some((part) => {
    const {width, right} = part.getBoundingClientRect();
    return width > 1 && right > document.documentElement.clientWidth + 1;
  });
  return {
    images: [...document.images].filter((i) => !i.naturalWidth).map((i) => i.currentSrc || i.src),
    formulas: all(".math:not(:has(mjx-container)), mjx-merror").map((e) => e.textContent),
    links: all("a[href]").map((a) => a.href),
    anchors: all("[id], a[name]").map((e) => e.id || e.name),
    excess: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    cut: all("main *").filter((e) => isCut(e) && !mayBeWide(e)).slice(0, 2).map(nameOf),
    scrolled: all("main pre, main .pst-scrollable-table-container")
      .filter((e) => e.scrollWidth > e.clientWidth + 1).map(nameOf),
  };
}"""


class Problem(NamedTuple):
    """Something broken on a page."""

    page: str
    window: str
    what: str


class QuietHandler(SimpleHTTPRequestHandler):
    """Handler of requests that prints no log."""

    def log_message(self, *arguments: Any) -> None:
        """Do nothing."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port, and return the address without a slash at the end."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the installed browser, or else the browser of Playwright."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def watch(page: Page, host: str, messages: list[str]) -> None:
    """Add the errors of a page to `messages` as they occur."""

    def on_request(request: Any) -> None:
        if urlsplit(request.url).scheme in ("http", "https") and not request.url.startswith(host):
            messages.append(f"request to another host: {request.url}")

    def on_console(message: Any) -> None:
        if message.type == "error":
            messages.append(f"console: {message.text}")

    def on_response(response: Any) -> None:
        if response.status >= 400:
            messages.append(f"status {response.status}: {response.url}")

    page.on("request", on_request)
    page.on("console", on_console)
    page.on("response", on_response)
    page.on("pageerror", lambda error: messages.append(f"script: {error}"))
    page.on("requestfailed", lambda request: messages.append(f"request failed: {request.url}"))


def defects(found: dict[str, Any], window: str) -> Iterator[str]:
    """Describe what is wrong with a page, from the result of INSPECT."""
    yield from (f"image not drawn: {image}" for image in found["images"])
    yield from (f"formula not typeset: {formula}" for formula in found["formulas"])
    if found["excess"] > 0:
        yield f"page {found['excess']} pixels wider than the window"
    yield from (f"cut at the right edge: {name}" for name in found["cut"])
    if window == "desktop":
        yield from (f"wider than its box: {name}" for name in found["scrolled"])


def broken_links(pages: dict[str, dict[str, Any]], folder: Path, host: str) -> Iterator[Problem]:
    """Find links to files and anchors that do not exist."""
    anchors = {name: set(found["anchors"]) for name, found in pages.items()}
    for name, found in pages.items():
        for link in sorted(set(found["links"])):
            if not link.startswith(host):
                continue
            parts = urlsplit(link)
            path = unquote(parts.path).lstrip("/")
            path = f"{path}index.html" if not path or path.endswith("/") else path
            fragment = unquote(parts.fragment)
            if not (folder / path).is_file():
                yield Problem(name, "all", f"broken link: {link.removeprefix(host)}")
            elif fragment and path in anchors and fragment not in anchors[path]:
                yield Problem(name, "all", f"broken anchor: {link.removeprefix(host)}")


def check(
    folder: Path, patterns: list[str] | None = None, screenshots: Path | None = None
) -> tuple[int, list[Problem]]:
    """Open the pages of a folder.

    Parameters
    ----------
    folder : Path
        Folder of the built site.
    patterns : list of str, default=None
        Patterns of the pages to report. By default, all pages.
    screenshots : Path, default=None
        Folder for pictures of the pages. By default, no pictures are taken.

    Returns
    -------
    n_pages : int
        Number of pages.
    problems : list of Problem
        What is broken.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    names = [name for name in names if not name.startswith("_static/")]
    if patterns is not None:
        names = [name for name in names if any(Path(name).match(p) for p in patterns)]
    problems: list[Problem] = []
    pages: dict[str, dict[str, Any]] = {}
    with serve(folder) as host, chromium() as browser:
        for window, (width, height) in WINDOWS.items():
            context = browser.new_context(viewport={"width": width, "height": height})
            for name in names:
                page, messages = context.new_page(), []
                watch(page, host, messages)
                page.goto(f"{host}/{name}")
                pages[name] = page.evaluate(INSPECT)
                messages += defects(pages[name], window)
                if screenshots is not None:
                    path = screenshots / f"{name.removesuffix('.html').replace('/', '-')}-{window}"
                    page.screenshot(path=path.with_suffix(".png"))
                page.close()
                problems += [Problem(name, window, what) for what in dict.fromkeys(messages)]
            context.close()
        # Anchors of pages that are not opened are unknown, and so are their links.
        problems += broken_links(pages, folder, host)
    return len(names), problems


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", nargs="+", help="patterns of the pages to open, default all")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the pages")
    arguments = parser.parse_args()
    n_pages, problems = check(arguments.folder, arguments.pages, arguments.screenshots)
    for page, window, what in problems:
        print(f"{page} ({window}): {what}")
    print(f"{n_pages} pages at {len(WINDOWS)} widths: {len(problems)} problems")
    sys.exit(bool(problems) or not n_pages)


if __name__ == "__main__":
    main()
