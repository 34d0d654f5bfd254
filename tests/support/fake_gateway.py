"""A gateway for the agent's tests: a real HTTPS server in a thread, whose answers a test lines up and whose requests it reads."""

import datetime as dt
import http.server
import ipaddress
import json
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Answer:
    """What the server says to one request."""

    status: int
    body: Any = None
    """JSON, or raw bytes."""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    """Close the connection without an answer."""


@dataclass
class Request:
    """What an agent said."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def make_certificate(directory: Path, *, host: str = "127.0.0.1", name: str = "gateway") -> tuple[Path, Path]:
    """Write a self-signed certificate for ``host`` and its key, and give their paths; the certificate is its own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / f"{name}.crt", directory / f"{name}.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of agents that refuse the certificate."""


class FakeGateway:
    """Serves on a free port of 127.0.0.1 while its ``with`` block lasts."""

    def __init__(self, directory: Path) -> None:
        self.ca_file, key_file = make_certificate(directory)
        self.token_file = directory / "token"
        self.token_file.write_text("first-token\n")
        self.requests: list[Request] = []
        self.answers: dict[str, deque[Answer]] = {}
        """For each method and path (``GET /v1/assignment``): answers in order; the last one stays."""
        self.connections = 0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, key_file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Address for agents."""
        return f"https://127.0.0.1:{self._server.server_port}"

    def say(self, request: str, *answers: Answer) -> None:
        """Line up answers for ``request``, for example ``GET /v1/assignment``."""
        self.answers[request] = deque(answers)

    def received(self, method: str) -> list[Request]:
        """Give the requests with this method."""
        return [request for request in self.requests if request.method == method]

    def reports(self) -> list[dict[str, Any]]:
        """Give the reports that came, in order."""
        return [json.loads(request.body) for request in self.received("POST")]

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        lined_up = self.answers.get(f"{request.method} {request.path}")
        if not lined_up:
            return Answer(404, {"error": "no answer was lined up"})
        return lined_up.popleft() if len(lined_up) > 1 else lined_up[0]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                gateway.connections += 1
                super().setup()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = gateway._answer(Request(self.command, self.path, dict(self.headers), body))
                if answer.hang_up:
                    self.close_connection = True
                    return
                content = (
                    answer.body if isinstance(answer.body, bytes) else b"" if answer.body is None else json.dumps(answer.body).encode()
                )
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the names http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
                """Say nothing."""

        return Handler
