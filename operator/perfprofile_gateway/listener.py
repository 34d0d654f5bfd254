"""A listening port whose TLS context can be changed: the socket stays, the server on it is replaced, open connections go on."""

import socket
import ssl
from typing import Final

from aiohttp import web

_BACKLOG: Final = 1024
"""Connections that may wait to be accepted: thousands of agents start a recording at the same moment."""


class Listener:
    """One port of one application. Binds at once, accepts only once :meth:`use` was called."""

    def __init__(self, runner: web.AppRunner, *, host: str | None, port: int) -> None:
        self._runner = runner
        self._socket = _bind(host, port)
        self._site: web.SockSite | None = None
        self.port: int = self._socket.getsockname()[1]

    async def use(self, context: ssl.SSLContext | None) -> None:
        """Accept connections with this context (None: plain) from now on."""
        before = self._site
        # A duplicate, because a site closes its socket when it stops; connections that wait to be accepted stay in the queue.
        self._site = web.SockSite(self._runner, self._socket.dup(), ssl_context=context, backlog=_BACKLOG)
        await self._site.start()
        if before is not None:
            await before.stop()

    async def close(self) -> None:
        """Accept no more connections."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        self._socket.close()


def _bind(host: str | None, port: int) -> socket.socket:
    family = socket.AF_INET if host is not None and ":" not in host else socket.AF_INET6
    if host is None and not socket.has_dualstack_ipv6():
        family = socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host is None else 1)
    bound.bind((host or "", port))
    bound.setblocking(False)  # noqa: FBT003 - the socket library takes it so
    return bound
