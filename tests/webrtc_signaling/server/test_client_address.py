"""Who is counted as one, and whose word on that counts."""

import pytest
from aiohttp.test_utils import make_mocked_request

from webrtc_signaling.server.client_address import UNKNOWN, ClientAddresses
from webrtc_transport.errors import ConfigurationError

PROXIES = ["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"]


@pytest.mark.parametrize(
    ("remote", "forwarded", "counted"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        # Who is no trusted proxy says what it likes.
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        # What a client puts in front of what its proxy adds.
        ("10.0.0.1", ["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.4"], "10.0.0.4"),
        ("10.0.0.1", ["198.51.100.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:1234"], "10.0.0.1"),
        ("10.0.0.1", ["," * 5000], "10.0.0.1"),
        ("2001:db8:1::1", ["2001:db8:2:3:4::5"], "2001:db8:2:3::/64"),
        ("2001:db8:2:3:ffff::5", [], "2001:db8:2:3::/64"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("::ffff:127.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("fe80::1%eth0", [], "fe80::/64"),
        (None, ["198.51.100.7"], UNKNOWN),
        ("", [], UNKNOWN),
    ],
)
def test_who_is_counted(remote, forwarded, counted):
    assert ClientAddresses(PROXIES).of(remote, forwarded) == counted


def test_without_proxies_no_header_counts():
    addresses = ClientAddresses(())
    assert addresses.of("127.0.0.1", ["198.51.100.7"]) == "127.0.0.1"
    assert not addresses.is_proxy("127.0.0.1")


def test_proxies_are_known():
    addresses = ClientAddresses(PROXIES)
    assert [addresses.is_proxy(remote) for remote in ("10.1.2.3", "192.0.2.1", "", None)] == [
        True,
        False,
        False,
        False,
    ]


def test_the_header_is_read_from_the_request():
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "198.51.100.7"})
    request = request.clone(remote="10.0.0.1")
    assert ClientAddresses(PROXIES).of_request(request) == "198.51.100.7"


def test_what_is_no_address_is_told():
    with pytest.raises(ConfigurationError, match=r"'proxy\.example' is neither an IP address nor a network"):
        ClientAddresses(["proxy.example"])
