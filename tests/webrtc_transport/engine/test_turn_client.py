"""The way to a TURN server."""

import socket

import pytest
from aioice import turn as aioice_turn

from tests.webrtc_transport.engine.turn_server import PASSWORD, USER, dead_server
from webrtc_transport.engine.turn_client import TurnServer, connect_turn
from webrtc_transport.protocol.ice_url import parse_ice_url

pytestmark = pytest.mark.anyio


async def test_a_server_of_another_name_is_not_trusted(turn):
    other = TurnServer(parse_ice_url(f"turns:127.0.0.1:{turn.tls_port}"), USER, PASSWORD)
    with pytest.raises(OSError, match="certificate verify failed"):
        await connect_turn(other)


async def test_a_server_that_refuses_the_connection():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = parse_ice_url(f"turn:127.0.0.1:{unused.getsockname()[1]}?transport=tcp")
        with pytest.raises(OSError, match=r"refused|failed"):
            await connect_turn(TurnServer(url, USER, PASSWORD))


async def test_the_socket_takes_what_a_fast_peer_sends():
    with dead_server() as dead:
        client = await connect_turn(TurnServer(parse_ice_url(f"turn:127.0.0.1:{dead}"), USER, PASSWORD))
        assert isinstance(client, aioice_turn.TurnClientUdpProtocol)
        given = client.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        client.transport.abort()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        assert given > plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
