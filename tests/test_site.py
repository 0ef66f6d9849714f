"""The checker of the built documentation, on small sites with one fault each."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="tox -e site installs Playwright")

SCRIPT = Path(__file__).parents[1] / "docs" / "check_site.py"
IMAGE = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check_site", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check


@pytest.fixture
def write(tmp_path):
    """Return a function that writes pages with a sound head, and returns their folder."""

    def write_pages(**bodies):
        for name, body in bodies.items():
            head = "<!doctype html><meta name='viewport' content='width=device-width'>"
            head += "<link rel='icon' href='data:,'>"
            (tmp_path / f"{name}.html").write_text(f"{head}<main>{body}</main>")
        return tmp_path

    return write_pages


def test_a_sound_site_has_no_problems(check, write):
    folder = write(
        index=f'<a href="other.html#here">link</a><img src="{IMAGE}"><pre>short</pre>',
        other='<p id="here"><a href="https://example.org/not-requested">elsewhere</a></p>',
    )
    assert check(folder) == (2, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<script>console.error('wrong')</script>", "console: wrong"),
        ("<script>throw Error('wrong')</script>", "script: wrong"),
        ("<script src='missing.js'></script>", "status 404: "),
        ("<script src='http://localhost:9/x.js'></script>", "request to another host: "),
        ("<img src='missing.png'>", "image not drawn: "),
        ("<span class='math'>x^2</span>", "formula not typeset: x^2"),
        ("<a href='missing.html'>link</a>", "broken link: /missing.html"),
        ("<a href='#missing'>link</a>", "broken anchor: /index.html#missing"),
        ("<div style='width: 2000px'>wide</div>", "pixels wider than the window"),
        ("<p style='width: 2000px'>wide</p>", "cut at the right edge: <p"),
        (f"<h1 style='overflow: hidden'>{'Wide' * 200}</h1>", "cut at the right edge: <h1"),
        (
            f"<p class='bd-article-container' style='overflow: auto'>{'Wide' * 200}</p>",
            "cut at the right edge: <p",
        ),
        (f"<pre style='overflow: auto'>{'long ' * 500}</pre>", "wider than its box: <pre"),
    ],
)
def test_each_fault_is_found(check, write, body, message):
    _, problems = check(write(index=body))
    assert any(message in problem.what for problem in problems), problems


def test_pages_that_are_too_wide_for_a_phone_are_found(check, write):
    _, problems = check(write(index="<div style='width: 600px'>wide</div>"))
    assert {problem.window for problem in problems} == {"phone"}


def test_patterns_choose_pages_and_screenshots_show_them(check, write, tmp_path):
    folder = write(index="", broken="<img src='missing.png'>")
    assert check(folder, ["index.html"], tmp_path / "pictures") == (1, [])
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["index-desktop.png", "index-phone.png"]
