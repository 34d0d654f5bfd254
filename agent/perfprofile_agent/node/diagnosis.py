"""Why perf failed: from its exit status and its last words to a reason, a cause and a next step. Pure.

perf has no machine-readable errors, so its sentences are matched. They are the same from 4.x to 6.x; where a new one matches
nothing, the reason is PerfFailed and perf's own words stand in the message.
"""

import re
import signal
from dataclasses import dataclass
from typing import Final

from perfprofile_agent.api.conditions import EXPLANATIONS, Reason
from perfprofile_agent.node.errors import NodeError

_MAX_WORDS = 400
"""Characters of perf's own words in a message, so that the next step always fits behind them."""
_ENDED_BY_SIGINT: Final = frozenset({0, -signal.SIGINT, 128 + signal.SIGINT})

_SENTENCES: Final[tuple[tuple[str, Reason], ...]] = (
    (r"no access to cgroup", Reason.TARGET_GONE),
    (r"thread/CPU maps: No such process|No such process", Reason.TARGET_GONE),
    (r"perf_event_paranoid|CAP_PERFMON|CAP_SYS_ADMIN|You may not have permission", Reason.PERF_NOT_PERMITTED),
    (r"Permission error mapping pages|perf_event_mlock_kb", Reason.PERF_NOT_PERMITTED),
    (r"No permissions to read|can't access trace events|[Pp]ermission denied|Operation not permitted", Reason.PERF_NOT_PERMITTED),
    (r"event syntax error|is not supported|doesn't support|Invalid event|No such device|not found for event", Reason.EVENT_NOT_SUPPORTED),
    (r"WARNING: perf not found for kernel", Reason.PERF_MISSING),
)
_NOISE = re.compile(
    r"^\s*$|^\[ perf record: |^Events (en|dis)abled|^Error:$|^Run 'perf list'|^Couldn't synthesize|^WARNING: Kernel address maps"
)
_CONTROL = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a perf process ended."""

    status: int
    """As subprocess gives it: the exit status, or minus the signal's number."""
    stderr: str
    """The last kilobytes of what perf said."""
    stopped: bool = False
    """The agent asked it to stop."""
    killed: bool = False
    """The agent killed it because it didn't stop in time."""
    seconds: float = 0.0
    """How long it ran."""


def failure(ending: Ending, *, events: tuple[str, ...], paranoid: int | None) -> NodeError | None:
    """Give the error that ``ending`` stands for, or None if perf ended as it should: by itself with status 0, or by our SIGINT."""
    if ending.killed:
        return NodeError(
            Reason.PERF_FAILED, "perf did not stop within its grace and was killed. Apply again; if it happens again, record less often."
        )
    if ending.status == 0 or (ending.stopped and ending.status in _ENDED_BY_SIGINT):
        return None
    words = own_words(ending.stderr)
    reason = next((reason for pattern, reason in _SENTENCES if re.search(pattern, ending.stderr)), Reason.PERF_FAILED)
    if ending.status < 0:
        return NodeError(Reason.PERF_FAILED, _killed(ending, words))
    return NodeError(reason, _MESSAGES[reason](words, ", ".join(events), paranoid))


def own_words(stderr: str) -> str:
    """Give what perf said of its failure in one printable line, without its usage text and its reports of progress."""
    before_usage = stderr.split("\n Usage: perf", 1)[0]
    lines = [_CONTROL.sub(" ", line).strip() for line in before_usage.splitlines() if not _NOISE.search(line)]
    return " ".join(line for line in lines if line)[:_MAX_WORDS] or "perf said nothing"


def _killed(ending: Ending, words: str) -> str:
    name = signal.Signals(-ending.status).name
    cause = "most likely by the kernel for lack of memory" if name == "SIGKILL" else "by somebody else or by a fault of its own"
    return (
        f"perf was ended by {name} after {ending.seconds:.1f} s, {cause} ({words}). "
        "Look at the agent container's memory limit and at the node's kernel log, then apply again."
    )


def _not_permitted(words: str, _events: str, paranoid: int | None) -> str:
    setting = "is unknown" if paranoid is None else f"is {paranoid}"
    first = words.split(". ", 1)[0].rstrip(".")
    return (
        f"The kernel refused perf: {first}. kernel.perf_event_paranoid {setting}. In a cluster, check that the agent's pod has "
        "CAP_PERFMON (kernel 5.8 or later) and that no security profile denies perf_event_open; on a machine of your own, run as root, "
        "record only processes of your own (-p PID), or set: sysctl kernel.perf_event_paranoid=-1"
    )


def _unsupported(words: str, events: str, _paranoid: int | None) -> str:
    return f"perf can't record {events} here: {words}. {EXPLANATIONS[Reason.EVENT_NOT_SUPPORTED].next_step}"


def _gone(words: str, _events: str, _paranoid: int | None) -> str:
    return f"What was to be recorded is gone: {words}. Record again; the target is looked up anew."


def _missing(words: str, _events: str, _paranoid: int | None) -> str:
    return f"There is no perf for this kernel: {words}. {EXPLANATIONS[Reason.PERF_MISSING].next_step}"


def _failed(words: str, _events: str, _paranoid: int | None) -> str:
    return f"perf failed: {words}. If its words don't help, run the same command by hand on the node, and report it."


_MESSAGES: Final = {
    Reason.PERF_NOT_PERMITTED: _not_permitted,
    Reason.EVENT_NOT_SUPPORTED: _unsupported,
    Reason.TARGET_GONE: _gone,
    Reason.PERF_MISSING: _missing,
    Reason.PERF_FAILED: _failed,
}
