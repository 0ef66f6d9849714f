"""Pages of the documentation that must keep up with each other and with the package."""

import re
import tomllib
from pathlib import Path

import pytest

import skvae

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LLMS = (DOCS / "extra" / "llms.txt").read_text()
LINKS = re.findall(r"^- \[.+?\]\((.+?)\): .+$", LLMS, flags=re.MULTILINE)


def source_of(link):
    """Return the file from which Sphinx makes a page."""
    page = link.removesuffix(".html")
    if page == "gallery/index":
        return ROOT / "examples" / "README.rst"
    if page.startswith("gallery/"):
        return ROOT / "examples" / f"{page.removeprefix('gallery/')}.py"
    if page.startswith("generated/skvae."):
        name = page.removeprefix("generated/skvae.")
        assert name in skvae.__all__
        return DOCS / "api.md"
    return DOCS / f"{page}.md"


def test_llms_txt_has_the_format():
    title, summary, *_ = [line for line in LLMS.splitlines() if line]
    assert title == "# skvae"
    assert summary.startswith("> ")
    sections = LLMS[LLMS.index("\n## ") :].split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections][-1] == "Optional"
    listed = [line for section in sections for line in section.splitlines()[1:] if line]
    assert len(listed) == len(LINKS)
    assert len(set(LINKS)) == len(LINKS)


@pytest.mark.parametrize("link", LINKS)
def test_links_of_llms_txt_lead_to_pages(link):
    assert link.endswith(".html")
    assert source_of(link).is_file()


@pytest.mark.parametrize("folder", ["", "user_guide"])
def test_llms_txt_lists_all_pages(folder):
    pages = {f"{folder}/{path.stem}".strip("/") for path in (DOCS / folder).glob("*.md")}
    listed = {link.removesuffix(".html") for link in LINKS}
    assert pages - {"index"} <= listed  # llms.txt takes the place of the start page


def test_install_page_lists_all_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (DOCS / "install.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == set(
        project["optional-dependencies"]
    )


def test_install_page_names_the_versions_of_python():
    classifiers = (ROOT / "pyproject.toml").read_text()
    first, *_, last = re.findall(r"Python :: (3\.\d+)", classifiers)
    assert f"Python {first} to {last}" in (DOCS / "install.md").read_text()
