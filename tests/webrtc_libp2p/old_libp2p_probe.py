"""Run by an old libp2p: what it makes of our addresses, and of a connection that brings its own streams."""

import json

import trio
from libp2p import new_swarm
from libp2p.abc import IMuxedConn, IRawConnection, ITransport
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.transport.exceptions import SecurityUpgradeFailure
from multiaddr import Multiaddr


class Connection(IRawConnection, IMuxedConn):
    """Abstract in everything: nobody is to get as far as using it."""

    def __init__(self):
        """Without the arguments of the interface."""


Connection.__abstractmethods__ = frozenset()


class Transport(ITransport):
    async def dial(self, maddr):
        return Connection()

    def create_listener(self, handler):
        raise AssertionError


class Upgrader:
    """It is asked to secure what is a row of bytes."""

    was_asked = False

    async def upgrade_security(self, raw_conn, *_):
        self.was_asked = True
        raise SecurityUpgradeFailure("nothing to secure")


def knows(address):
    try:
        return bool(Multiaddr(address))
    except Exception:
        return False


async def main():
    swarm = new_swarm(key_pair=create_new_key_pair())
    swarm.transport, swarm.upgrader = Transport(), Upgrader()
    try:
        await swarm._dial_addr_single_attempt(Multiaddr("/ip4/192.0.2.1/tcp/1"), swarm.get_peer_id())
    except Exception as exc:
        error = type(exc).__name__
    print(
        json.dumps(
            {
                "knows_webrtc": knows("/webrtc"),
                "knows_webrtc_direct": knows("/ip4/192.0.2.1/udp/1/webrtc-direct"),
                "takes_streams_for_bytes": swarm.upgrader.was_asked,
                "error": error,
            }
        )
    )


trio.run(main)
