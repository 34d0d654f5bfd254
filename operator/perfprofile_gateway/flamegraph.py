r"""Profile → a flame graph: one HTML page that needs nothing else. Pure.

What is hostile here: names of functions, files, pods and processes, which people in containers choose. They reach the page in two ways
only: escaped as HTML text, and as JSON in which ``<``, ``>`` and ``&`` are written as ``\u003c`` and so on; the script shows them with
``textContent`` and on a canvas. And should something slip through, the page's content security policy lets nothing run but the script of
this package (by its hash), and nothing be loaded.

The page's source is in ``page/``: template.html, page.css, page.js.
"""

import base64
import functools
import hashlib
import html
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Final

import msgspec

from perfprofile_agent.pprof.model import Profile
from perfprofile_gateway.flametree import PRUNE_BELOW, Tree, trees
from perfprofile_gateway.text import one_line

_MAX_NAME: Final = 400
"""Characters of a function's name on the page; templates in C++ make them endless."""
_LOST_TOO_MANY: Final = 0.05
"""Share of lost samples above which a profile may mislead."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the page says of the run."""

    run: str
    namespace: str
    start: str = ""
    """RFC 3339, or empty."""
    duration: str = ""
    nodes: int = 0
    nodes_failed: int = 0
    samples: int = 0
    lost: int = 0
    lost_ratio: float = 0.0
    events: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def page(profile: Profile, facts: Facts) -> str:
    """Give the page."""
    template, style, script = _sources()
    return Template(template).substitute(
        policy=html.escape(content_security_policy()),
        title=_text(f"{facts.run} · {facts.namespace}"),
        run=_text(facts.run),
        namespace=_text(facts.namespace),
        facts="\n".join(_fact_items(facts)),
        notices="\n".join(f"<li>{_text(notice)}</li>" for notice in _notices(facts)),
        style=style,
        script=script,
        data=_data(profile),
    )


@functools.cache
def content_security_policy() -> str:
    """Give the page's policy: its own style and script by their hashes, and nothing else from anywhere."""
    _, style, script = _sources()
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _sources() -> tuple[str, str, str]:
    folder = resources.files("perfprofile_gateway") / "page"
    template, style, script = ((folder / name).read_text() for name in ("template.html", "page.css", "page.js"))
    return template, style, script


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(text: str) -> str:
    return html.escape(one_line(text, _MAX_NAME))


def _fact_items(facts: Facts) -> list[str]:
    nodes = f"{facts.nodes:,}" + (f" ({facts.nodes_failed:,} failed)" if facts.nodes_failed else "")
    shown = {
        "Recorded for": facts.duration,
        "Started": facts.start.replace("T", " ").replace("Z", " UTC"),
        "Nodes": nodes,
        "Samples": f"{facts.samples:,}",
        "Event": ", ".join(facts.events) or "unknown",
        "Lost": f"{facts.lost:,} ({facts.lost_ratio:.2%})" if facts.lost else "none",
    }
    warned = {key for key, wrong in (("Nodes", facts.nodes_failed > 0), ("Lost", facts.lost_ratio > _LOST_TOO_MANY)) if wrong}
    return [_fact(key, value, warned=key in warned) for key, value in shown.items() if value]


def _fact(key: str, value: str, *, warned: bool) -> str:
    mark = ' class="warned"' if warned else ""
    return f"<div{mark}><dt>{key}</dt><dd>{_text(value)}</dd></div>"


def _notices(facts: Facts) -> list[str]:
    own = []
    if facts.lost_ratio > _LOST_TOO_MANY:
        own.append(f"{facts.lost_ratio:.0%} of the samples were lost, so shares may mislead: record at a lower frequency.")
    return [*own, *facts.notices]


def _data(profile: Profile) -> str:
    made = trees(profile)
    modules = {module: index for index, module in enumerate(dict.fromkeys(frame.module for frame in made.frames))}
    body = {
        "type": made.type,
        "unit": made.unit,
        "pruneBelow": PRUNE_BELOW,
        "modules": [one_line(module, _MAX_NAME) for module in modules],
        "names": [one_line(frame.name, _MAX_NAME) for frame in made.frames],
        "moduleOf": [modules[frame.module] for frame in made.frames],
        "kindOf": [frame.kind for frame in made.frames],
        "plain": _tree(made.plain),
        "grouped": _tree(made.grouped),
    }
    encoded = msgspec.json.encode(body).decode()
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _tree(tree: Tree) -> dict[str, object]:
    return {
        "frame": tree.frames,
        "depth": tree.depths,
        "weight": tree.weights,
        "own": tree.own,
        "count": tree.counts,
        "leftOut": tree.left_out,
    }
