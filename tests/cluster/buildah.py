"""buildah with an image store of its own in the cache, so that the machine's images are neither used nor touched."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from cluster import machine
from cluster.commands import CommandError, run
from cluster.layout import CACHE

STORE = CACHE / "images"
ARCHIVE_FORMAT = "docker-archive"
"""Docker's, because buildah always compresses OCI archives, and that takes longer than all else here."""


def buildah(command: str, *arguments: str | Path, log: Path | None = None) -> str:
    """Run a command of buildah, in a mount namespace of its own: containers/storage leaves a mount behind otherwise.

    Raises:
        CommandError: buildah failed.
    """
    STORE.mkdir(parents=True, exist_ok=True)
    own_mounts = ("unshare", "--mount", "--propagation=private")
    store = ("--root", STORE / "store", "--runroot", STORE / "run", "--storage-driver", "overlay")
    return run(*own_mounts, "buildah", *store, command, *arguments, env={"BUILDAH_ISOLATION": "chroot"}, log=log)


def in_store(name: str) -> bool:
    """Whether the store has an image of that name."""
    try:
        buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", name)
    except CommandError:
        return False
    return True


def build(tag: str, context: Path, *, target: str = "", file: Path | None = None, log: Path) -> None:
    """Build a Dockerfile as `docker build` would, layers cached, the machine's way to the registries lent as secrets.

    Raises:
        CommandError: a step failed; the log has all of it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options = ["--layers", "--pull-never", "--network=host", "--tag", tag, *_secrets(directory)]
        options += ["--target", target] if target else []
        buildah("build", *options, "--file", file or context / "Dockerfile", context, log=log)


def export(tag: str, archive: Path) -> None:
    """Write an image to a file in `ARCHIVE_FORMAT`."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    buildah("push", "--quiet", tag, f"{ARCHIVE_FORMAT}:{archive}:{tag}")


def _secrets(directory: Path) -> list[str]:
    """Options for all secrets that the Dockerfile may ask for; those the machine has no need of are left out."""
    contents = {"apt": machine.apt_conf(), "pip": machine.pip_conf()}
    for name, content in contents.items():
        (directory / name).write_text(content)
    files = {name: directory / name for name, content in contents.items() if content}
    bundle = machine.ca_bundle()
    if bundle:
        files["ca"] = bundle
    return [f"--secret=id={name},src={file}" for name, file in files.items()]
