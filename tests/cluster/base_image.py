"""The base of all images, debian:trixie-slim, made here with mmdebstrap: a test machine may have no registry to pull it from.

The project's Dockerfile names it as everybody would, and finds it in the cache's own image store under that name.
"""

import hashlib
import json
import os

from cluster import machine
from cluster.buildah import buildah, in_store
from cluster.commands import run
from cluster.layout import CACHE
from cluster.steps import step

NAME = "docker.io/library/debian:trixie-slim"
SUITE = "trixie"
MIRROR = os.environ.get("PERFPROFILE_DEBIAN_MIRROR", "")
"""Where Debian's packages come from, if not from where mmdebstrap finds them by itself."""
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
"""What Debian's own slim images leave out."""


def key() -> str:
    """Give what stands for this base in the keys of the images made from it."""
    return hashlib.sha256(json.dumps([SUITE, MIRROR, LEFT_OUT]).encode()).hexdigest()[:16]


def ensure() -> None:
    """Make the base, unless it is in the image store."""
    tag = f"localhost/base:{key()}"
    if in_store(tag):
        return
    directory = CACHE / "base"
    directory.mkdir(parents=True, exist_ok=True)
    with step(f"making {NAME} with mmdebstrap", "30 s, mostly the network"):
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
        options += [f"--aptopt={line.rstrip(';')}" for line in machine.apt_conf().splitlines()]
        sources = [f"deb {MIRROR} {SUITE} main"] if MIRROR else []
        run(
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            *options,
            SUITE,
            directory / "root.tar",
            *sources,
            log=directory / "mmdebstrap.log",
        )
        (directory / "Dockerfile").write_text('FROM scratch\nADD root.tar /\nCMD ["bash"]\n')
        buildah("build", "--tag", tag, "--tag", NAME, directory, log=directory / "build.log")
        (directory / "root.tar").unlink()
