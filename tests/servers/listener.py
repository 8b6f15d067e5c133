"""A TLS listener that speaks no other protocol: enough for whoever ends at the handshake."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.servers.certificates import Certificate
from tests.servers.ports import HOST


class TlsListener:
    """Shakes hands with this certificate, in versions up to this one."""

    def __init__(self, certificate: Certificate, newest: ssl.TLSVersion | None = None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if newest is not None:
            # What OpenSSL itself no longer offers at its usual level of security.
            self._context.set_ciphers("ALL:@SECLEVEL=0")
            self._context.minimum_version = newest
            self._context.maximum_version = newest
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # which also ends a waiting accept
        self._socket.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(5)
            with connection, contextlib.suppress(OSError):
                self._context.wrap_socket(connection, server_side=True).close()
