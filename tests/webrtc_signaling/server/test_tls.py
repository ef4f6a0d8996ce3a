"""The server's own TLS, with a certificate of the test's.

Where a handshake fails, the server has a loop of its own: one in debug mode, as that of the tests is, calls that an
exception that nobody handles.
"""

import asyncio
import ssl

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.webrtc_signaling.browsers import Browser, serve
from tests.webrtc_signaling.certificates import certificate_in
from tests.webrtc_signaling.samples import ALICE
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.server.tls import server_context
from webrtc_transport.errors import ConfigurationError

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return certificate_in(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return certificate_in(tmp_path_factory.mktemp("other"))


async def test_it_speaks_tls(made):
    async with serve(**made.settings) as server:
        assert server.url.startswith("wss://127.0.0.1:")
        async with server.connect(ssl=made.client()) as socket:
            assert (await Browser(socket, ALICE).register())["type"] == "registered"
        https = server.url.replace("wss:", "https:")
        async with server.http.get(f"{https}/healthz", ssl=made.client()) as response:
            assert response.status == 200


async def test_who_does_not_trust_it_does_not_get_in(made, other):
    async with signaling_server(**made.settings) as server, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.ws_connect(server.url, ssl=other.client())


def test_old_versions_are_refused(made):
    assert server_context(made.certificate, made.key).minimum_version == ssl.TLSVersion.TLSv1_2


async def test_who_begins_tls_and_says_no_more_is_cut_off(made):
    async with signaling_server(**made.settings, register_timeout=0.2) as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_key_and_certificate_may_share_a_file(made, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    assert server_context(both, None) is not None
    assert server_context(None, None) is None


def test_wrong_files_are_told_in_one_line(made, other, tmp_path):
    encrypted, text, missing, broken = (
        tmp_path / name for name in ("encrypted", "text", "missing", "broken")
    )
    key = load_pem_private_key(made.key.read_bytes(), None)
    encrypted.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    )
    text.write_text("no certificate")
    broken.write_bytes(made.certificate.read_bytes()[:200])
    for certificate, key, reason in (
        (None, made.key, "tls_key is set, and no tls_certificate; set both"),
        (missing, made.key, f"tls_certificate: {missing} can't be read: no such file or directory"),
        (made.certificate, missing, f"tls_key: {missing} can't be read: no such file"),
        (made.certificate, tmp_path, f"tls_key: {tmp_path} can't be read: is a directory"),
        (made.certificate, other.key, f"the key in {other.key} is of another certificate"),
        (made.certificate, encrypted, f"the key in {encrypted} is encrypted; `openssl pkey -in"),
        (made.certificate, text, f"tls_key: {text} has no private key in PEM"),
        (made.certificate, None, f"tls_key: {made.certificate} has no private key in PEM"),
        (text, made.key, f"tls_certificate: {text} has no certificate in PEM"),
        (made.key, made.key, f"tls_certificate: {made.key} has no certificate in PEM"),
        (broken, made.key, f"{broken}, or the key in {made.key}, is malformed"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            server_context(certificate, key)
        message = str(caught.value)
        assert reason in message
        assert "\n" not in message
