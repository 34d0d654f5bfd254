"""The cluster's storage: directories on node1, and volumes made available again when their claims are gone.

`local` volumes have no provisioner that would reclaim them, so the cluster does it itself: on `up`, and when an installation asks for it.
"""

import json
import shutil
from pathlib import Path

from cluster.control_plane import kubectl
from cluster.objects import STORAGE_NODE, VOLUMES, VOLUMES_DIRECTORY


def create_directories() -> None:
    """Make the volumes' directories on the node that has them."""
    for number in range(1, VOLUMES + 1):
        _directory(f"local-{number}").mkdir(parents=True, exist_ok=True)


def release() -> None:
    """Empty every volume whose claim has been deleted, and let it be claimed again."""
    for volume in json.loads(kubectl("get", "persistentvolumes", "-o", "json"))["items"]:
        if volume["status"].get("phase") != "Released":
            continue
        name = volume["metadata"]["name"]
        shutil.rmtree(_directory(name))
        _directory(name).mkdir()
        kubectl("patch", "persistentvolume", name, "--type=merge", "--patch", '{"spec": {"claimRef": null}}')


def _directory(name: str) -> Path:
    return STORAGE_NODE.var / VOLUMES_DIRECTORY.removeprefix("/var/") / name
