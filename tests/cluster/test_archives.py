"""An image archive is cut to the layers that a node lacks, and stays a whole image for the rest."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cluster import archives

NAME = "perfprofile.dev/some:dev"
LAYERS = (b"layer one", b"layer two")
DIGESTS = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in LAYERS]


@pytest.fixture
def docker_archive(tmp_path: Path) -> Path:
    """What `docker save` writes, as little of it as there can be."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": DIGESTS}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["1.tar", "2.tar"]}]).encode()
    archive = tmp_path / "docker.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in {"config.json": config, "1.tar": LAYERS[0], "2.tar": LAYERS[1], "manifest.json": manifest}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive


@pytest.mark.parametrize("present", [set(), {DIGESTS[0]}, set(DIGESTS)], ids=["none", "first", "all"])
def test_only_missing_layers_are_kept(docker_archive, tmp_path, present):
    archives.cut(docker_archive, present, tmp_path / "cut.tar")

    blobs = contents(tmp_path / "cut.tar")
    assert {digest for digest in DIGESTS if f"blobs/sha256/{digest.removeprefix('sha256:')}" in blobs} == set(DIGESTS) - present


def test_the_manifest_names_all_layers_and_the_image(docker_archive, tmp_path):
    archives.cut(docker_archive, set(DIGESTS), tmp_path / "cut.tar")

    files = contents(tmp_path / "cut.tar")
    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": NAME}
    assert [(layer["digest"], layer["size"]) for layer in manifest["layers"]] == [(DIGESTS[0], 9), (DIGESTS[1], 9)]
    assert f"blobs/{manifest['config']['digest'].replace(':', '/')}" in files


def test_every_blob_hashes_to_its_name(docker_archive, tmp_path):
    archives.cut(docker_archive, set(), tmp_path / "cut.tar")

    blobs = {name: content for name, content in contents(tmp_path / "cut.tar").items() if name.startswith("blobs/")}
    assert all(name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}" for name, content in blobs.items())


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
