"""This host's own addresses, and names."""

import ipaddress
import socket

import anyio
import pytest

from webrtc_transport.engine.direct_hosts import addresses_of, local_address, resolve
from webrtc_transport.engine.driver import open_driver
from webrtc_transport.protocol.direct_address import DirectAddress


@pytest.mark.parametrize(("host", "loopback"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_a_wildcard_is_all_addresses_of_its_family(host, loopback):
    found = addresses_of(host)
    assert found[-1] == loopback
    assert len(set(found)) == len(found)
    version = ipaddress.ip_address(host).version
    for address in map(ipaddress.ip_address, found):
        assert address.version == version
        assert not address.is_unspecified
        assert not (version == 6 and address.is_link_local)


def test_another_address_is_itself():
    assert addresses_of("192.0.2.1") == ["192.0.2.1"]


def test_the_address_that_packets_leave_from():
    assert local_address(("192.0.2.1", 5), ("127.0.0.1", 9)) == ("192.0.2.1", 5)
    assert local_address(("0.0.0.0", 5), ("127.0.0.1", 9)) == ("127.0.0.1", 5)
    assert local_address(("::", 5), ("::1", 9)) == ("::1", 5)
    # Nobody can be reached there: what is known is kept.
    assert local_address(("0.0.0.0", 5), ("255.255.255.255", 9)) == ("0.0.0.0", 5)


@pytest.mark.anyio
async def test_resolving():
    async with open_driver() as driver:
        for host, wildcard in (("127.0.0.1", "0.0.0.0"), ("::1", "::")):
            address = DirectAddress(f"ip{4 if '.' in host else 6}", host, 9)
            assert await resolve(driver, address) == {wildcard: [(host, 9)]}
        assert await resolve(driver, DirectAddress("dns4", "localhost", 9)) == {"0.0.0.0": [("127.0.0.1", 9)]}
        with pytest.raises(OSError, match=r"nobody|[Nn]ame"), anyio.fail_after(20):
            await resolve(driver, DirectAddress("dns", "nobody.invalid", 9))


@pytest.mark.anyio
async def test_several_addresses_of_one_name():
    class Several:
        async def resolve(self, host, port, *, family):
            assert (host, port, family) == ("example.org", 9, socket.AF_UNSPEC)
            v4 = [(socket.AF_INET, f"192.0.2.{number}") for number in (1, 1, *range(2, 20))]
            return [(socket.AF_INET6, "2001:db8::1"), *v4]

    found = await resolve(Several(), DirectAddress("dns", "example.org", 9))
    assert list(found) == ["::", "0.0.0.0"]
    assert found["0.0.0.0"] == [(f"192.0.2.{number}", 9) for number in range(1, 9)]
