"""Names for people out of mangled ones: C++ (Itanium ABI) and Rust (v0 and legacy).

Done by pycxxfilt: LLVM's own demanglers in one 0.4 MB extension, without libstdc++, wheels for amd64 and arm64, kept by a
CPython core developer (1.2.0, October 2026), permissive licence. Looked at and not taken:

* cxxfilt: ctypes binding of libstdc++'s __cxa_demangle; needs that library in the image, knows no Rust v0, last release 2021;
* symbolic: memory-safe (Rust) and complete, but a 78 MB library;
* cpp_demangle: Rust crate for C++ only, no wheel for arm64; rust_demangler, itanium_demangler: pure Python, not kept since 2021;
* demangle: pure Python, every scheme, new in 2026; ten times slower and no track record yet.

LLVM's code is C++ that reads hostile names, and a short name may stand for a very long one: call it only in the sandboxed child,
whose memory and time are limited. Rust's legacy scheme is Itanium's with escapes of its own, which are undone here
(rustc-demangle's legacy.rs describes them).
"""

import re
from typing import Final

import pycxxfilt

MAX_INPUT: Final = 4096
MAX_OUTPUT: Final = 1024
"""Characters of a name that are shown: threat T16 limits every string that comes out of a container."""

_RUST_HASH: Final = re.compile(r"::h[0-9a-f]{16}(?: \(\.[^)]*\))?$")
"""The end of a legacy Rust name: a hash, and what LLVM appended to the symbol when it split or promoted the function."""
_RUST_ESCAPE: Final = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$")
_RUST_ESCAPES: Final = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_MAX_UNICODE: Final = 0x10FFFF


def demangle(name: str) -> str:
    """``name`` for people, at most MAX_OUTPUT printable characters; names of no known scheme come back as they are."""
    if name.startswith(("_Z", "_R", "__Z")) and len(name) <= MAX_INPUT:
        return printable(_demangled(name))
    return printable(name)


def _demangled(name: str) -> str:
    try:
        found = pycxxfilt.rust_demangle(name) if name.startswith("_R") else pycxxfilt.itanium_demangle(name)
    except ValueError:  # has a scheme's prefix but is none of its names
        return name
    if not found:
        return name
    if _RUST_HASH.search(found):
        return _legacy_rust(found)
    return found


def _legacy_rust(name: str) -> str:
    parts = _RUST_HASH.sub("", name).split("::")
    # A path element must not start with an escape in the mangled form, so rustc puts an underscore before it.
    return "::".join(_unescaped(part[1:] if part.startswith("_$") else part) for part in parts)


def _unescaped(part: str) -> str:
    return _RUST_ESCAPE.sub(_character, part).replace("..", "::")


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if code in _RUST_ESCAPES:
        return _RUST_ESCAPES[code]
    number = int(code[1:], 16)
    return chr(number) if number <= _MAX_UNICODE else match[0]


def printable(name: str) -> str:
    """``name`` cut to MAX_OUTPUT characters, with everything that isn't printable replaced: it may reach a terminal or a page."""
    name = name[:MAX_OUTPUT]
    if name.isprintable():
        return name
    return "".join(character if character.isprintable() else "�" for character in name)
