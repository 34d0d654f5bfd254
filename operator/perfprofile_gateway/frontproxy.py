"""The API server's front proxy: whom it forwards for, and how it is told from an impostor.

kube-apiserver authenticates the caller, then calls the aggregated API with ``X-Remote-*`` headers and its own client certificate. The
headers are believed only with that certificate. What certificate and which headers, the ConfigMap
``kube-system/extension-apiserver-authentication`` says (kubernetes.io, "Configure the Aggregation Layer").
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec

from perfprofile_gateway.errors import ConfigurationError, Refusal

_CA: Final = "requestheader-client-ca-file"
_NAMES: Final = "requestheader-allowed-names"
_USER: Final = "requestheader-username-headers"
_UID: Final = "requestheader-uid-headers"
_GROUP: Final = "requestheader-group-headers"
_EXTRA: Final = "requestheader-extra-headers-prefix"


class FrontProxy(NamedTuple):
    """How the front proxy is known."""

    ca: str
    """PEM certificates; one of them has signed its client certificate."""
    names: tuple[str, ...]
    """Common names its certificate may have; empty allows every name that the CA has signed, as Kubernetes defines it."""
    user_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]


class Caller(NamedTuple):
    """Who asks, as the API server has found out."""

    user: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, tuple[str, ...]], ...]


def front_proxy(data: Mapping[str, str]) -> FrontProxy:
    """Read the ConfigMap's data.

    Raises:
        ConfigurationError: the API server runs without an aggregation layer, or the data has another shape.
    """
    if not data.get(_CA, "").strip():
        raise ConfigurationError(f"{_CA} is not set: start kube-apiserver with --requestheader-client-ca-file (its aggregation layer).")
    return FrontProxy(
        ca=data[_CA],
        names=_names(data, _NAMES, ()),
        user_headers=_names(data, _USER, ("X-Remote-User",)),
        group_headers=_names(data, _GROUP, ("X-Remote-Group",)),
        extra_prefixes=_names(data, _EXTRA, ("X-Remote-Extra-",)),
    )


def _names(data: Mapping[str, str], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    if not data.get(key, "").strip():
        return default
    try:
        return msgspec.json.decode(data[key], type=tuple[str, ...])
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{key} is not a JSON list of names: {error}.") from error


def check_certificate(proxy: FrontProxy, certificate: Mapping[str, Any] | None) -> None:
    """Let only the front proxy pass.

    Args:
        proxy: how it is known.
        certificate: the verified client certificate as :meth:`ssl.SSLSocket.getpeercert` gives it; None or empty without one.

    Raises:
        Refusal: 401.
    """
    if not certificate:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "This port is for the API server only: use `kubectl get --raw` and a kubeconfig.")
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if proxy.names and not set(names) & set(proxy.names):
        raise Refusal(HTTPStatus.UNAUTHORIZED, "The client certificate is not the front proxy's: its name is not among the allowed ones.")


def caller_of(proxy: FrontProxy, headers: Iterable[tuple[str, str]]) -> Caller:
    """Read who asks from a request's headers; only after :func:`check_certificate`.

    Raises:
        Refusal: 401, no user is named.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    user = next((value for name in proxy.user_headers for value in found.get(name.lower(), ()) if value), "")
    if not user:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "The front proxy names no user: check kube-apiserver's --requestheader-* options.")
    groups = tuple(value for name in proxy.group_headers for value in found.get(name.lower(), ()))
    return Caller(user, groups, _extra(proxy.extra_prefixes, found))


def _extra(prefixes: Sequence[str], found: Mapping[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    extra: dict[str, list[str]] = {}
    for name, values in found.items():
        for prefix in prefixes:
            if name.startswith(prefix.lower()):
                # Keys are percent-encoded, as header names can't hold every character (apiserver's requestheader authenticator).
                extra.setdefault(unquote(name[len(prefix) :]), []).extend(values)
    return tuple((key, tuple(values)) for key, values in sorted(extra.items()))
