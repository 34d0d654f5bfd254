"""Reads and writes of the store's rows, each a function of an open connection; the transaction is the caller's.

The rules that hold for ever are enforced here: the first terminal record of a (run, node, window) stands, a succeeded window has a
profile, a node holds no more recording slots than it has.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update

from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_gateway.store.schema import node_windows, profiles, runs

ASSIGNED: Final = "Assigned"
"""State of a window that was handed to an agent which hasn't reported yet; holds a slot, counts nowhere else."""

_TERMINAL: Final = (NodeState.SUCCEEDED.value, NodeState.FAILED.value)


class RunKey(NamedTuple):
    """A run as Kubernetes names it."""

    uid: str
    namespace: str
    name: str


class WindowKey(NamedTuple):
    """One window on one node: the key of reports and profiles."""

    run_uid: str
    node: str
    window: int


class StoredReport(NamedTuple):
    """What a node last said."""

    node: str
    window: int
    report: NodeReport


class HeldProfile(NamedTuple):
    """A profile that is on disk."""

    node: str
    window: int
    sha256: str
    size: int
    path: str


class Slot(Enum):
    """Whether a node may record now."""

    GRANTED = "granted"
    BUSY = "busy"
    OVER = "over"


class Recorded(Enum):
    """What became of a report."""

    STORED = "stored"
    IGNORED = "ignored"
    NO_PROFILE = "no profile"


class Kept(Enum):
    """What became of a profile."""

    STORED = "stored"
    SAME = "same"
    OVER = "over"


def ensure_run(connection: Connection, run: RunKey, *, now: float) -> None:
    """Know the run from now on, as one that exists in Kubernetes."""
    missing = connection.execute(select(runs.c.missing_since).where(runs.c.uid == run.uid)).first()
    if missing is None:
        connection.execute(insert(runs).values(uid=run.uid, namespace=run.namespace, name=run.name, first_seen=now))
    elif missing.missing_since is not None:
        connection.execute(update(runs).where(runs.c.uid == run.uid).values(missing_since=None))


def state_of(connection: Connection, key: WindowKey) -> str | None:
    """Give the state of a window, or None where nothing was said of it."""
    found: str | None = connection.execute(select(node_windows.c.state).where(*_is(node_windows, key))).scalar()
    return found


def take_slot(connection: Connection, run: RunKey, key: WindowKey, *, slots: int, now: float, lease_until: float) -> Slot:
    """Hold one of the node's recording slots for a window; asking again for the same window holds the same slot."""
    state = state_of(connection, key)
    if state in _TERMINAL:
        return Slot.OVER
    others = connection.execute(
        select(func.count())
        .select_from(node_windows)
        .where(
            node_windows.c.node == key.node,
            node_windows.c.state.in_((ASSIGNED, NodeState.RECORDING.value)),
            node_windows.c.lease_until > now,
            (node_windows.c.run_uid != key.run_uid) | (node_windows.c.window != key.window),
        )
    ).scalar_one()
    if others >= slots:
        return Slot.BUSY
    ensure_run(connection, run, now=now)
    if state is None:
        connection.execute(insert(node_windows).values(**key._asdict(), state=ASSIGNED, lease_until=lease_until, updated_at=now))
    else:
        connection.execute(update(node_windows).where(*_is(node_windows, key)).values(lease_until=lease_until, updated_at=now))
    return Slot.GRANTED


def record_report(connection: Connection, run: RunKey, key: WindowKey, report: NodeReport, *, now: float, lease_until: float) -> Recorded:
    """Store what a node says, unless its window is over already or it claims a profile that isn't held."""
    state = state_of(connection, key)
    if state in _TERMINAL:
        return Recorded.IGNORED
    if report.state is NodeState.SUCCEEDED and _held_hash(connection, key) != report.profile_sha256.lower():
        return Recorded.NO_PROFILE
    ensure_run(connection, run, now=now)
    values = {"state": report.state.value, "report": msgspec.json.encode(report), "lease_until": lease_until, "updated_at": now}
    if state is None:
        connection.execute(insert(node_windows).values(**key._asdict(), **values))
    else:
        connection.execute(update(node_windows).where(*_is(node_windows, key)).values(**values))
    return Recorded.STORED


def keep_profile(connection: Connection, run: RunKey, key: WindowKey, profile: HeldProfile, *, now: float) -> Kept:
    """Store the row of a profile whose file is in place.

    A window that isn't over may deliver anew: an agent that was restarted records again, and only the profile that its terminal report
    names counts. The file that a new one replaces has no row from then on, so the sweep removes it.
    """
    held = _held_hash(connection, key)
    if held == profile.sha256:
        return Kept.SAME
    if state_of(connection, key) in _TERMINAL:
        return Kept.OVER
    ensure_run(connection, run, now=now)
    values = {"sha256": profile.sha256, "size": profile.size, "path": profile.path, "stored_at": now}
    if held is None:
        connection.execute(insert(profiles).values(**key._asdict(), **values))
    else:
        connection.execute(update(profiles).where(*_is(profiles, key)).values(**values))
    return Kept.STORED


def holds(connection: Connection, key: WindowKey, sha256: str) -> bool:
    """Whether exactly this profile is held."""
    return _held_hash(connection, key) == sha256


def reports_of(connection: Connection, run_uid: str) -> list[StoredReport]:
    """Give what every node last said, ordered by node and window; nodes that were only assigned said nothing."""
    found = connection.execute(
        select(node_windows.c.node, node_windows.c.window, node_windows.c.report)
        .where(node_windows.c.run_uid == run_uid, node_windows.c.report.is_not(None))
        .order_by(node_windows.c.node, node_windows.c.window)
    )
    decode = msgspec.json.Decoder(NodeReport).decode
    return [StoredReport(row.node, row.window, decode(row.report)) for row in found]


def profiles_of(connection: Connection, run_uid: str) -> list[HeldProfile]:
    """Give the profiles of the windows that succeeded, ordered by node and window; others are no result (yet)."""
    same = (
        (node_windows.c.run_uid == profiles.c.run_uid)
        & (node_windows.c.node == profiles.c.node)
        & (node_windows.c.window == profiles.c.window)
    )
    found = connection.execute(
        select(profiles.c.node, profiles.c.window, profiles.c.sha256, profiles.c.size, profiles.c.path)
        .join(node_windows, same)
        .where(profiles.c.run_uid == run_uid, node_windows.c.state == NodeState.SUCCEEDED.value)
        .order_by(profiles.c.node, profiles.c.window)
    )
    return [HeldProfile(*row) for row in found]


def known_runs(connection: Connection) -> list[RunKey]:
    """Give all runs of which something is stored."""
    return [RunKey(*row) for row in connection.execute(select(runs.c.uid, runs.c.namespace, runs.c.name).order_by(runs.c.uid))]


def mark_missing(connection: Connection, existing: Iterable[str], *, now: float, grace: float) -> list[RunKey]:
    """Note which runs are not among ``existing``, and give those that have been missing for ``grace`` seconds."""
    exist, overdue = set(existing), []
    for row in connection.execute(select(runs)).all():
        missing_since = None if row.uid in exist else (now if row.missing_since is None else row.missing_since)
        if missing_since != row.missing_since:
            connection.execute(update(runs).where(runs.c.uid == row.uid).values(missing_since=missing_since))
        if missing_since is not None and now - missing_since >= grace:
            overdue.append(RunKey(row.uid, row.namespace, row.name))
    return overdue


def forget(connection: Connection, run_uid: str) -> None:
    """Delete everything that is stored of a run."""
    connection.execute(delete(profiles).where(profiles.c.run_uid == run_uid))
    connection.execute(delete(node_windows).where(node_windows.c.run_uid == run_uid))
    connection.execute(delete(runs).where(runs.c.uid == run_uid))


def paths(connection: Connection) -> set[str]:
    """Give the paths of all files that have a row."""
    return set(connection.execute(select(profiles.c.path)).scalars())


def totals(connection: Connection) -> tuple[int, int]:
    """Give how many profiles are held, and their bytes."""
    row = connection.execute(select(func.count(), func.coalesce(func.sum(profiles.c.size), 0)).select_from(profiles)).one()
    return int(row[0]), int(row[1])


def _held_hash(connection: Connection, key: WindowKey) -> str | None:
    found: str | None = connection.execute(select(profiles.c.sha256).where(*_is(profiles, key))).scalar()
    return found


def _is(table: Table, key: WindowKey) -> tuple[ColumnElement[bool], ...]:
    return (table.c.run_uid == key.run_uid, table.c.node == key.node, table.c.window == key.window)
