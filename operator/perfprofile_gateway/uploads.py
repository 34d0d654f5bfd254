"""Receiving a profile: streamed to a file with its size and hash checked on the way, so that memory doesn't grow with uploads."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from perfprofile_gateway.errors import Refusal
from perfprofile_gateway.store.files import ProfileFiles

RECEIVE_SECONDS: Final = 60.0
"""How long one upload may take, so that slow senders don't hold all places."""
_DIGEST_LENGTH: Final = 64


@dataclass(frozen=True)
class Received:
    """An upload in a temporary file, which is the caller's to adopt or discard."""

    path: Path
    sha256: str
    size: int


def announced_digest(header: str) -> str:
    """Read the ``Content-SHA256`` header.

    Raises:
        Refusal: 400, it is missing or no digest.
    """
    digest = header.strip().lower()
    if len(digest) != _DIGEST_LENGTH or not set(digest) <= set("0123456789abcdef"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "Send the profile's SHA-256 as 64 hexadecimal digits in the header Content-SHA256.")
    return digest


async def receive(chunks: AsyncIterator[bytes], files: ProfileFiles, *, digest: str, max_bytes: int) -> Received:
    """Write a body to a temporary file.

    Raises:
        Refusal: 413 above ``max_bytes``, 400 if the content isn't what ``digest`` says, 408 if it took too long.
    """
    path, file = files.open_incoming()
    try:
        with file:
            async with asyncio.timeout(RECEIVE_SECONDS):
                found, size = await _copy(chunks, file.write, max_bytes)
        _must_match(found, digest)
    except TimeoutError:
        files.discard(path)
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"The upload took more than {RECEIVE_SECONDS:.0f} s: try again.", retry_after=5) from None
    except BaseException:
        files.discard(path)
        raise
    return Received(path, found, size)


def _must_match(found: str, digest: str) -> None:
    if found != digest:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The content's SHA-256 is {found}, Content-SHA256 said {digest}: send the profile again.")


async def _copy(chunks: AsyncIterator[bytes], write: Callable[[bytes], object], max_bytes: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise too_large(max_bytes)
        digest.update(chunk)
        write(chunk)
    return digest.hexdigest(), size


def too_large(max_bytes: int) -> Refusal:
    """Refuse a profile for its size."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The profile is larger than {max_bytes} bytes: record for a shorter time, fewer pods, or raise PERFPROFILE_MAX_PROFILE_BYTES.",
    )
