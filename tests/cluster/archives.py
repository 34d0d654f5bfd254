"""Image archives cut to what a node lacks: most of an image is layers that the node has from the last time.

From a Docker archive (as `docker save` and buildah write it, layers not compressed) to an OCI layout in a tar, which containerd imports even
if layers are missing there, as long as it has them. Formats: https://github.com/moby/docker-image-spec and
https://github.com/opencontainers/image-spec (image-layout.md, manifest.md).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

Descriptor = dict[str, Any]


def cut(archive: Path, present: AbstractSet[str], output: Path) -> None:
    """Write the image of a Docker archive to ``output`` as an OCI layout, without the layers whose digests are ``present``."""
    with tarfile.open(archive) as source, tarfile.open(output, "w") as sink:
        (entry,) = json.loads(_read(source, "manifest.json"))
        config = _read(source, entry["Config"])
        digests = json.loads(config)["rootfs"]["diff_ids"]
        layers = [(digest, source.getmember(name)) for digest, name in zip(digests, entry["Layers"], strict=True)]
        for digest, member in layers:
            if digest not in present:
                _add_layer(source, member, digest, sink)
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _add_blob(sink, CONFIG, config),
                "layers": [{"mediaType": LAYER, "digest": digest, "size": member.size} for digest, member in layers],
            }
        )
        named = {**_add_blob(sink, MANIFEST, manifest), "annotations": {"org.opencontainers.image.ref.name": entry["RepoTags"][0]}}
        _add(sink, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(sink, "index.json", _json({"schemaVersion": 2, "manifests": [named]}))


def _read(source: tarfile.TarFile, name: str) -> bytes:
    member = source.extractfile(name)
    if member is None:
        raise ValueError(f"{source.name!r} is no Docker archive: {name} is no file in it")
    return member.read()


def _add_layer(source: tarfile.TarFile, member: tarfile.TarInfo, digest: str, sink: tarfile.TarFile) -> None:
    copied = tarfile.TarInfo(_blob(digest))
    copied.size = member.size
    sink.addfile(copied, source.extractfile(member))


def _add_blob(sink: tarfile.TarFile, media_type: str, content: bytes) -> Descriptor:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _add(sink, _blob(digest), content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _add(sink: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    sink.addfile(info, io.BytesIO(content))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
