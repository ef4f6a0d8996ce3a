"""Swap py-libp2p's transport and listening address, and nothing else: for its own tests, and for its own examples.

As a plugin of pytest (``-p over_webrtc``) it changes the factories of py-libp2p's tests. As a program
(``python over_webrtc.py <example> …``) it runs an example. ``WEBRTC_LISTEN`` is the address to listen on, and
``WEBRTC_SIGNALING`` the URL of a signaling server, if one is needed.
"""

import os
import runpy
import sys

import libp2p
from libp2p.utils import address_validation
from multiaddr import Multiaddr

from webrtc_libp2p import WebRTCTransport
from webrtc_transport import TransportConfig

LISTEN = Multiaddr(os.environ["WEBRTC_LISTEN"])

new_host = libp2p.new_host

address_validation.get_available_interfaces = lambda port, protocol="tcp": [LISTEN]


def make_transport():
    url = os.environ.get("WEBRTC_SIGNALING")
    config = TransportConfig(bind_addresses=("127.0.0.1",))
    return WebRTCTransport(signaling=[url] if url else [], config=config)


def new_host_over_webrtc(*args, **kwargs):
    """As ``new_host``, on our transport, wherever it is told to listen."""
    kwargs.pop("listen_addrs", None)
    host = new_host(*args, **kwargs, transports=[make_transport()])
    run = host.run
    host.run = lambda listen_addrs, *more, **options: run([LISTEN] if listen_addrs else [], *more, **options)
    return host


def pytest_configure():
    # Some tests make hosts of their own, beside those of the factories.
    libp2p.new_host = new_host_over_webrtc


def pytest_collection_finish(session):
    # The factories look these up whenever they make a swarm.
    factories = sys.modules["tests.utils.factories"]
    factories.TCP, factories.LISTEN_MADDR = make_transport, LISTEN


def run_example(path, *arguments):
    libp2p.new_host = new_host_over_webrtc
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    run_example(*sys.argv[1:])
