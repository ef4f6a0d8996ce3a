"""A certificate of ``localhost`` and 127.0.0.1 for tests of TLS, which is its own authority."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.webrtc_transport.engine.turn_server import make_certificate


@dataclass
class Certificate:
    certificate: Path
    key: Path

    @property
    def settings(self):
        return {"tls_certificate": self.certificate, "tls_key": self.key}

    def server(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client(self):
        """What trusts it."""
        return ssl.create_default_context(cafile=self.certificate)


def certificate_in(folder):
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    make_certificate(made.certificate, made.key)
    return made
