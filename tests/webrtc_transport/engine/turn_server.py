"""A real TURN server (coturn) on loopback."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from webrtc_transport.config import IceServer

USER, PASSWORD = "user", "secret"
START_TIMEOUT = 10
RELAY_PORTS = 400


@dataclass
class TurnServer:
    port: int
    tls_port: int
    ca_file: Path
    process: subprocess.Popen[bytes] | None = None

    def kill(self):
        """End it without a good-bye."""
        self.process.kill()
        self.process.wait()

    def turn(self, transport="udp", *, password=PASSWORD):
        return IceServer(
            urls=f"turn:127.0.0.1:{self.port}?transport={transport}", username=USER, credential=password
        )

    def turns(self, host="localhost"):
        return IceServer(urls=f"turns:{host}:{self.tls_port}", username=USER, credential=PASSWORD)


@contextlib.contextmanager
def turn_server(folder, *, users=("-a", "-u", f"{USER}:{PASSWORD}")):
    """Start one, and stop it at the end.

    :param users: the arguments that say whom it serves
    """
    program = shutil.which("turnserver")
    if program is None:
        reason = "turnserver is not installed (Debian package coturn)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = TurnServer(free_port(), free_port(), folder / "certificate.pem")
    make_certificate(server.ca_file, folder / "key.pem")
    first = random.randrange(20000, 30000)
    arguments = [
        *("-n", "-L", "127.0.0.1", "--allow-loopback-peers", "--no-cli", "--simple-log"),
        *users,
        *("-r", "test"),
        *("-p", server.port, "--tls-listening-port", server.tls_port, "--no-dtls"),
        *("--cert", server.ca_file, "--pkey", folder / "key.pem"),
        *("--min-port", first, "--max-port", first + RELAY_PORTS),
        *("--log-file", folder / "log", "--pidfile", folder / "pid", "-b", folder / "database"),
    ]
    with (folder / "output").open("wb") as output:
        server.process = subprocess.Popen([program, *map(str, arguments)], stdout=output, stderr=output)
    try:
        wait_until_it_answers(server.process, server.port)
        yield server
    finally:
        server.kill()


def wait_until_it_answers(process, port):
    """Wait until it answers a STUN request over UDP: it listens on TCP earlier."""
    request = bytes.fromhex("000100002112a442") + bytes(12)
    deadline = time.monotonic() + START_TIMEOUT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.05)
        while True:
            try:
                sock.send(request)
                sock.recv(1000)
            except OSError:
                assert time.monotonic() < deadline, "turnserver doesn't answer"
                # It is refused at once while nobody is there, so what is waited for is that it ends.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    pytest.fail(f"turnserver ended at once with {process.wait(0.01)}")
            else:
                return


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def make_certificate(certificate_file, key_file):
    """A self-signed certificate of ``localhost``, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@contextlib.contextmanager
def dead_server():
    """A port that takes datagrams and never answers, and how many came."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
