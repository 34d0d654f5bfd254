"""Whether an uploaded profile may be kept: valid, within bounds, and only of what its agent may speak for. Runs in a worker.

The agent has dropped foreign samples already. The gateway checks again, since an agent is a program on a node that others also use: every
sample must carry the run's namespace and the node that the token proves.
"""

from pathlib import Path
from typing import NamedTuple

from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Label, Profile


class Expected(NamedTuple):
    """What an upload must be."""

    namespace: str
    node: str
    max_bytes: int
    """Decompressed size."""


def check_upload(path: str, expected: Expected) -> str:
    """Give why the file at ``path`` may not be kept, or "" if it may."""
    try:
        profile = wire.decode(Path(path).read_bytes(), max_bytes=expected.max_bytes)
    except MemoryError:
        return "it needs more memory than a profile may"
    except ProfileError as error:
        return str(error)
    return out_of_scope(profile, expected)


def out_of_scope(profile: Profile, expected: Expected) -> str:
    """Give the first sample's fault that says that it belongs to somebody else, or ""."""
    good: set[tuple[Label, ...]] = set()
    for index, sample in enumerate(profile.samples):
        if sample.labels in good:
            continue
        for key, wanted in (("namespace", expected.namespace), ("node", expected.node)):
            found = [label.text for label in sample.labels if label.key == key]
            if found != [wanted]:
                return f"sample {index} has {key} {found}, not [{wanted!r}]"
        good.add(sample.labels)
    return ""
