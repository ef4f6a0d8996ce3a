"""Both ways to OpenSSL do the same; and the shorter one is there with this release of pyOpenSSL."""

import pytest
from OpenSSL import SSL, _util

from tests.webrtc_transport.engine.test_dtls import ends, shake_hands
from webrtc_transport.engine.dtls_records import (
    BUFFER,
    MAX_RECORD,
    PRIVATE_NAMES,
    DirectRecords,
    PublicRecords,
    records_of,
)


def test_the_private_names_exist():
    client, _ = ends()
    for name in PRIVATE_NAMES:
        assert hasattr(client._ssl, name), f"pyOpenSSL has renamed {name}: DTLS has become slow"
    for module in ("lib", "ffi"):
        assert hasattr(_util, module)
    for function in ("SSL_write", "SSL_read", "BIO_write", "BIO_read"):
        assert hasattr(_util.lib, function)
    assert isinstance(records_of(client._ssl), DirectRecords)


@pytest.mark.parametrize("name", [*PRIVATE_NAMES, "lib"])
def test_without_one_of_them_the_public_methods_do_it(name, monkeypatch):
    client, server = ends()
    shake_hands(client, server)
    if name == "lib":
        monkeypatch.delattr(_util, "lib")
        hidden = client._ssl
    else:
        hidden = Hiding(client._ssl, name)
    records = records_of(hidden)
    assert isinstance(records, PublicRecords)
    assert server.receive(records.encrypt(b"hello")) == b"hello"


class Hiding:
    """A connection without one of its attributes."""

    def __init__(self, ssl, name):
        self.__dict__.update(ssl=ssl, name=name)

    def __getattr__(self, name):
        if name == self.name:
            raise AttributeError(name)
        return getattr(self.ssl, name)


@pytest.fixture(
    params=[(DirectRecords, PublicRecords), (PublicRecords, DirectRecords)], ids=["direct", "public"]
)
def pair(request):
    """Records of two connected ends, each made another way."""
    client, server = ends()
    shake_hands(client, server)
    return tuple(kind(end._ssl) for kind, end in zip(request.param, (client, server), strict=True))


@pytest.mark.parametrize("size", [1, 100, 1200, BUFFER - 256, BUFFER, MAX_RECORD])
def test_what_one_encrypts_the_other_decrypts(pair, size):
    ours, theirs = pair
    if size < BUFFER:
        assert theirs.decrypt(ours.encrypt(bytes(size))) == bytes(size)
    answer = b"x" * min(size, BUFFER - 256)
    assert ours.decrypt(theirs.encrypt(answer)) == answer


def test_what_cannot_be_read_is_told_as_pyopenssl_tells_it(pair):
    ours, theirs = pair
    record = bytearray(ours.encrypt(b"data"))
    record[-1] ^= 1
    for datagram in (b"garbage", bytes(record)):
        with pytest.raises(SSL.WantReadError):
            theirs.decrypt(datagram)
    assert theirs.decrypt(ours.encrypt(b"still there")) == b"still there"


def test_a_closed_connection_is_told_as_pyopenssl_tells_it():
    for kind in (DirectRecords, PublicRecords):
        client, server = ends()
        shake_hands(client, server)
        ours, theirs = kind(client._ssl), kind(server._ssl)
        (farewell,) = client.close()
        with pytest.raises(SSL.ZeroReturnError):
            theirs.decrypt(farewell)
        with pytest.raises(SSL.Error):
            ours.encrypt(b"late")
