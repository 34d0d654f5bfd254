"""What the pages say is there, is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)\s#]*)(#[^)\s]*)?\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page

        assert target.exists(), f"{path} leads nowhere"
        assert not anchor or anchor.removeprefix("#") in anchors(target), f"{path}{anchor}: no such heading"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_has_the_targets_that_pages_name(page: Path):
    makefiles = [ROOT / "Makefile", *ROOT.glob("tests/cluster/*.mk")]
    targets = set(re.findall(r"^([a-z][a-z-]*):", "\n".join(file.read_text() for file in makefiles), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)(?:\w+=\S+ )?make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE))

    assert named <= targets


def test_the_map_shows_every_room():
    said = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = {file.parent.relative_to(file.parents[2]) for root in ("agent", "operator") for file in (ROOT / root).glob("*/*/__init__.py")}
    packages = {file.parent.name for root in ("agent", "operator") for file in (ROOT / root).glob("*/__init__.py")}

    assert all(f"{room.name}/" in said for room in rooms), rooms
    assert all(package in said for package in packages)


def test_the_tree_keeps_its_rules():
    done = subprocess.run(["python3", "-I", ".ci/check_tree.py"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
