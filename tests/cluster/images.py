"""The cluster's images: built from the project's Dockerfile and the workloads', cached by what they are made from, loaded into the nodes."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from cluster import archives, base_image, buildah, node, programs
from cluster.layout import CACHE, HERE, NODES, PAUSE_IMAGE, PROJECT, Node
from cluster.steps import side_by_side, step

ARCHIVES = CACHE / "images" / "archives"
LOGS = CACHE / "images" / "logs"
PROJECT_INPUTS = ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "agent", "operator", "pyproject.toml", "requirements")
WORKLOADS = HERE / "workloads"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image: what it is made from, and how its build context is made ready."""

    name: str
    inputs: tuple[Path, ...]
    context: Callable[[Path], Path]
    target: str = ""

    @property
    def short_name(self) -> str:
        """The last part of its name, without the tag."""
        return self.name.rpartition("/")[2].partition(":")[0]

    def archive(self) -> Path:
        """The place of the exported image of the sources as they were when this program first looked."""
        return ARCHIVES / f"{self.short_name}-{_key(self.inputs, self.target)}.tar"


@cache
def _key(inputs: tuple[Path, ...], target: str) -> str:
    """Give a hash of everything that an image depends on here."""
    digest = hashlib.sha256(f"{buildah.ARCHIVE_FORMAT} {base_image.key()} {target}".encode())
    for file in _files(inputs):
        digest.update(file.as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _project_context(_: Path) -> Path:
    return PROJECT


def _workloads_context(directory: Path) -> Path:
    for file in (WORKLOADS / "Dockerfile", WORKLOADS / "checkout", programs.path("encoder")):
        shutil.copy(file, directory)
    return directory


def _pause_context(directory: Path) -> Path:
    shutil.copy(programs.path("pause"), directory)
    (directory / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    return directory


PROJECT_FILES = tuple(PROJECT / name for name in PROJECT_INPUTS)
AGENT = Image(name="perfprofile.dev/perfprofile-agent:dev", inputs=PROJECT_FILES, context=_project_context, target="agent")
OPERATOR = Image(name="perfprofile.dev/perfprofile-operator:dev", inputs=PROJECT_FILES, context=_project_context, target="operator")
DEMO_WORKLOADS = Image(
    name="perfprofile.dev/demo-workloads:dev",
    inputs=(WORKLOADS, programs.SOURCE / "encoder"),
    context=_workloads_context,
)
PAUSE = Image(name=PAUSE_IMAGE, inputs=(programs.SOURCE / "pause",), context=_pause_context)
PRODUCT = (OPERATOR, AGENT)
ALL = (*PRODUCT, DEMO_WORKLOADS, PAUSE)


def version() -> str:
    """Give the version that the project's manifests name as the tag of its images."""
    text = (PROJECT / "agent/perfprofile_agent/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if not found:
        raise ValueError('agent/perfprofile_agent/__init__.py has no line `__version__ = "…"`')
    return found[1]


def ensure(images: tuple[Image, ...] = ALL) -> None:
    """Build and export every image whose sources have changed: one after the other, since they share layers; exported side by side."""
    wanted = [image for image in images if not image.archive().exists()]
    if wanted:
        with step(f"building {', '.join(image.short_name for image in wanted)}", "15 s, up to 2 min the first time"):
            for image in wanted:
                with tempfile.TemporaryDirectory() as directory:
                    context = image.context(Path(directory))
                    buildah.build(image.name, context, target=image.target, log=LOGS / f"{image.short_name}.log")
            side_by_side(*(partial(_export, image) for image in wanted))


def _export(image: Image) -> None:
    unfinished = image.archive().with_suffix(".unfinished")
    buildah.export(image.name, unfinished)
    for older in ARCHIVES.glob(f"{image.short_name}-????????????????.tar"):
        older.unlink()
    unfinished.rename(image.archive())


def load(images: tuple[Image, ...] = ALL) -> bool:
    """Load into every running node what it hasn't yet; whether an image of the product is another one now."""
    wanted = [image for image in images if any(_loaded(each, image) != image.archive().name for each in NODES)]
    if not wanted:
        return False
    with step(f"loading {', '.join(image.short_name for image in wanted)} into the nodes", "10 s"):
        side_by_side(*(partial(load_into, each, *wanted) for each in NODES))
    return any(image in PRODUCT for image in wanted)


def load_into(one: Node, *images: Image) -> None:
    """Load images into one node's containerd; the product's also under the version that the manifests name."""
    for image in images:
        if _loaded(one, image) == image.archive().name:
            continue
        _import(one, image)
        if image in PRODUCT:
            node.ctr(one, "images", "tag", "--force", image.name, image.name.replace(":dev", f":{version()}"))
        _mark(one, image).parent.mkdir(exist_ok=True)
        _mark(one, image).write_text(image.archive().name)


def _import(one: Node, image: Image) -> None:
    present = set(node.ctr(one, "content", "ls", "--quiet").split())
    cut = one.state / f"{image.short_name}.tar"
    archives.cut(image.archive(), present, cut)
    node.ctr(one, "images", "import", cut)
    cut.unlink()


def _loaded(one: Node, image: Image) -> str:
    """Give the name of the archive that was loaded last; empty for none."""
    mark = _mark(one, image)
    return mark.read_text() if mark.exists() else ""


def _mark(one: Node, image: Image) -> Path:
    return one.state / "images" / image.short_name


def _files(inputs: tuple[Path, ...]) -> list[Path]:
    """Give all files below the inputs, in a fixed order, without what Python and editors leave there."""
    found = [file for path in inputs for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sorted(file for file in found if "__pycache__" not in file.parts)
