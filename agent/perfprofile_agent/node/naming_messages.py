"""What the agent and the sandboxed child say to each other: small messages of bounded size.

On the wire: a length of 4 bytes, little-endian, then msgpack. The child has read hostile bytes, so the agent decodes what it says
into these types with these limits, and trusts nothing else about it.
"""

import socket
import struct
from time import monotonic
from typing import Annotated, Final

import msgspec

from perfprofile_agent.errors import PerfProfileError

MAX_MESSAGE: Final = 8 << 20
"""Bytes: 4096 names of everyday length take 0.5 MB."""
READY: Final = b"ready"
"""What the server says on the control socket when it has given up its privileges."""
BATCH: Final = 4096
"""Addresses asked for at a time."""
_LENGTH: Final = struct.Struct("<I")
_ShortText = Annotated[str, msgspec.Meta(max_length=1024)]


class Start(msgspec.Struct, frozen=True, array_like=True):
    """Agent to server, with descriptors: the socket for this file's child, the file, and its debug file if there is one."""

    kind: str
    """``elf`` or ``perf map``."""


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """Child to agent, first: what the file is."""

    build_id: Annotated[str, msgspec.Meta(max_length=128, pattern="^[0-9a-f]*$")] = ""
    wants_debug_file: bool = False
    debug_link: Annotated[str, msgspec.Meta(max_length=255)] = ""
    problem: _ShortText = ""
    """Why nothing can be named; empty if all is well."""
    not_elf: bool = False
    """Whether it isn't an ELF file at all."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """Agent to child: name these (file offsets for ELF, runtime addresses for a perf map)."""

    addresses: Annotated[list[int], msgspec.Meta(max_length=BATCH)]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Child to agent: the names."""

    names: Annotated[list[tuple[_ShortText, _ShortText]], msgspec.Meta(max_length=BATCH)]
    """Each distinct one: for people, and as the linker knows it."""
    which: Annotated[list[Annotated[int, msgspec.Meta(ge=-1, lt=BATCH)]], msgspec.Meta(max_length=BATCH)]
    """For each address asked for, its place in ``names``; -1: no name."""
    problem: _ShortText = ""


class ChannelError(PerfProfileError):
    """The other side has gone, is late, or says what it may not."""


def send(channel: socket.socket, message: msgspec.Struct) -> None:
    """Send one message. Raises ChannelError."""
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_MESSAGE:
        raise ChannelError(f"a message of {len(body)} bytes; at most {MAX_MESSAGE} are sent")
    try:
        channel.sendall(_LENGTH.pack(len(body)) + body)
    except OSError as error:
        raise ChannelError(f"sending failed: {error.strerror or error}") from error


def receive(channel: socket.socket, seconds: float | None = None) -> bytes | None:
    """The body of one message; None if the other side closed the channel before it began. Raises ChannelError."""
    deadline = None if seconds is None else monotonic() + seconds
    head = _receive_exactly(channel, _LENGTH.size, deadline)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        raise ChannelError(f"a message of {length} bytes; at most {MAX_MESSAGE} are taken")
    body = _receive_exactly(channel, length, deadline)
    if len(body) != length:
        raise ChannelError("the channel was closed within a message")
    return body


def _receive_exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    """``size`` bytes, or none at all if the channel is closed before the first."""
    found = bytearray()
    while len(found) < size:
        if deadline is not None:
            left = deadline - monotonic()
            if left <= 0:
                raise ChannelError("no answer in time")
            channel.settimeout(left)
        try:
            step = channel.recv(min(size - len(found), 1 << 20))
        except TimeoutError as error:
            raise ChannelError("no answer in time") from error
        except ConnectionResetError:
            step = b""  # closed, too: it ended with a message of ours unread
        except OSError as error:
            raise ChannelError(f"receiving failed: {error.strerror or error}") from error
        if not step:
            if found:
                raise ChannelError("the channel was closed within a message")
            return b""
        found += step
    return bytes(found)
