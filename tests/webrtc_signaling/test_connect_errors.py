"""The reasons come from servers that answer so; those of a network that there isn't here are made by hand."""

import asyncio
import errno
import os
import socket
import ssl
import struct

import aiohttp
import pytest
from aiohttp import web

from webrtc_signaling.connect_errors import connect_reason
from webrtc_signaling.server.app import running_app
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport import Identity
from webrtc_transport.certificates import save_certificate


async def reason(url):
    async with aiohttp.ClientSession() as http:
        try:
            async with asyncio.timeout(10), http.ws_connect(url):
                pass
        except (aiohttp.ClientError, OSError) as exc:
            return connect_reason(exc, url)
    return None


async def reason_of_answer(handle, *, scheme="ws", tls=None):
    """Why there is no connection with a server that lets ``handle`` take each TCP connection."""
    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls) as server:
        return await reason(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def reason_of_status(status):
    async def answer(_request):
        return web.Response(status=status, headers={"Location": "/"} if status == 302 else {})

    app = web.Application()
    app.router.add_get("/", answer)
    async with running_app(app, ServerSettings(port=0)) as url:
        return await reason(url)


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (
            200,
            "HTTP status 200; a web server answers there, and no signaling server: check host, port and path",
        ),
        (
            404,
            "HTTP status 404; a web server answers there, and no signaling server: check host, port and path",
        ),
        (302, "it only redirects; a web server answers there, and no signaling server"),
        (401, "HTTP status 401; a proxy in front wants to know who you are"),
        (429, "HTTP status 429; it takes no more clients from this address; try again later"),
        (502, "HTTP status 502; the proxy there doesn't reach the signaling server: is that running?"),
        (
            503,
            "HTTP status 503; it takes no more clients, or isn't running behind its proxy; try again later",
        ),
    ],
)
def test_a_web_server_that_answers_otherwise(status, cure):
    assert asyncio.run(reason_of_status(status)).startswith(cure)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 426, 501])
def test_polls_are_proposed_where_the_upgrade_is_refused(status):
    assert asyncio.run(reason_of_status(status)).endswith(
        "; write http:// in place of ws:// to poll, if only WebSockets are refused"
    )


@pytest.mark.parametrize("status", [302, 401, 429, 502, 503, 504])
def test_polls_are_not_proposed_where_they_would_fare_no_better(status):
    assert "to poll" not in asyncio.run(reason_of_status(status))


@pytest.mark.parametrize(("scheme", "cure"), [("wss", "write https:// in place of wss://"), ("https", None)])
def test_polls_are_proposed_to_who_does_not_poll(scheme, cure):
    error = aiohttp.WSServerHandshakeError(None, (), status=403)
    text = connect_reason(error, f"{scheme}://x")
    assert text.startswith("HTTP status 403; a proxy in front refuses the WebSocket")
    assert cure in text if cure else text.endswith("the WebSocket")


def test_a_server_without_tls():
    async def read(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    text = asyncio.run(reason_of_answer(read, scheme="wss"))
    assert text.startswith("what answers there speaks no TLS (")
    assert text.endswith("); write ws:// in place of wss://")


HANGS_UP = "it hangs up during the TLS handshake; check the port, and whether it speaks TLS"


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_server_that_hangs_up_during_the_tls_handshake(scheme):
    async def hang_up(reader, writer):
        await reader.read(4096)
        writer.close()

    assert asyncio.run(reason_of_answer(hang_up, scheme=scheme)) == HANGS_UP


@pytest.mark.parametrize("error", [ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")])
def test_an_end_within_tls(error):
    assert connect_reason(error, "wss://example.org") == HANGS_UP


def alert(description):
    """A fatal one, as a record of TLS 1.2 (RFC 5246, sections 6.2.1 and 7.2)."""
    return bytes([21, 3, 3, 0, 2, 2, description])


@pytest.mark.parametrize(
    ("description", "name"), [(40, "HANDSHAKE_FAILURE"), (70, "PROTOCOL_VERSION"), (112, "UNRECOGNIZED_NAME")]
)
def test_a_server_that_refuses_the_tls_handshake(description, name):
    async def refuse(reader, writer):
        await reader.read(4096)
        writer.write(alert(description))
        await writer.drain()
        writer.close()

    text = asyncio.run(reason_of_answer(refuse, scheme="wss"))
    assert text.startswith("the TLS handshake failed (")
    assert text.endswith(f"{name})")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("WRONG_VERSION_NUMBER", "what answers there speaks no TLS ("),
        ("HTTP_REQUEST", "what answers there speaks no TLS ("),
        ("PACKET_LENGTH_TOO_LONG", "what answers there speaks no TLS ("),
        ("RECORD_LAYER_FAILURE", "what answers there speaks no TLS ("),
        ("TLSV1_ALERT_INTERNAL_ERROR", "the TLS handshake failed (TLSV1_ALERT_INTERNAL_ERROR)"),
        (None, "the TLS handshake failed (something)"),
    ],
)
def test_what_openssl_says(reason, text):
    error = ssl.SSLError(1, "something")
    error.reason = reason
    assert connect_reason(error, "wss://example.org").startswith(text)


def test_a_certificate_that_nobody_knows(tmp_path):
    save_certificate(tmp_path / "tls.pem", Identity.generate().derive_certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")

    async def close(_reader, writer):
        writer.close()

    text = asyncio.run(reason_of_answer(close, scheme="wss", tls=context))
    assert text.startswith("its TLS certificate isn't trusted here (self-signed certificate); ")
    assert text.endswith("in the environment variable SSL_CERT_FILE")


def test_a_server_that_speaks_something_else():
    async def greet(reader, writer):
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await reader.read(100)
        writer.close()

    assert asyncio.run(reason_of_answer(greet)) == "what answers there speaks no HTTP; check the port"


def test_a_server_that_hangs_up():
    async def hang_up(reader, writer):
        await reader.read(4096)
        writer.close()

    assert asyncio.run(reason_of_answer(hang_up)) == (
        "it hangs up without an answer; check the port, and write wss:// if the server speaks TLS"
    )


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_server_that_resets(scheme):
    async def reset(_reader, writer):
        # SO_LINGER with 0 seconds: a close is a reset.
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.close()

    assert asyncio.run(reason_of_answer(reset, scheme=scheme)) == (
        "connection reset by peer; check the port and the scheme, and firewalls between"
    )


def test_no_server():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        assert asyncio.run(reason(url)) == "connection refused; is the server running there?"


def test_no_host():
    text = asyncio.run(reason("ws://nosuch.invalid"))
    assert text.startswith("the host can't be found (")
    assert text.endswith("); check its name, and this machine's network")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(errno.EHOSTUNREACH, "Connect call failed"),
            f"{os.strerror(errno.EHOSTUNREACH).lower()}; check the address, and this machine's network",
        ),
        (OSError(errno.EMFILE, "x"), os.strerror(errno.EMFILE).lower()),
        (OSError("out of cheese"), "out of cheese"),
        (OSError(), "OSError"),
        (aiohttp.ClientPayloadError("out of wine"), "out of wine"),
        (aiohttp.ClientPayloadError(), "ClientPayloadError"),
        (aiohttp.InvalidURL("wss://x?SECRET"), "its URL, or the one that it redirects to, is malformed"),
    ],
)
def test_other_errors_say_it_themselves(error, text):
    assert connect_reason(error, "wss://example.org") == text


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_who_asks_for_tls_is_not_told_to(scheme):
    error = aiohttp.ServerDisconnectedError()
    assert connect_reason(error, f"{scheme}://x") == "it hangs up without an answer; check the port"
