"""Echo over webrtc-direct: a server that is dialed by its address alone, and a client.

    python examples/direct_echo.py                        # prints its addresses
    python examples/direct_echo.py --dial <address>       # sends a line, and prints what comes back

With --identity the peer id and the certhash, and so the address, stay the same when the server starts again. It runs
on trio too: --backend trio.
"""

import argparse

import anyio

from webrtc_transport import Connection, Identity, Stream, WebRTCTransport


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.send(chunk)
    await stream.send_eof()


async def serve_connection(connection: Connection) -> None:
    print(f"connected: {connection.remote_multiaddr}", flush=True)
    await connection.serve(echo)
    print(f"ended: {connection.end_reason}", flush=True)


async def listen(identity: Identity, address: str) -> None:
    async with WebRTCTransport(identity) as transport:
        listener = await transport.listen(address)
        for own in listener.addresses:
            print(f"listening: {own}", flush=True)
        await listener.serve(serve_connection)


async def dial(identity: Identity, address: str) -> None:
    async with WebRTCTransport(identity) as transport, await transport.dial(address) as connection:
        milliseconds = connection.setup_times.total * 1000
        print(f"connected to {connection.remote_peer} in {milliseconds:.0f} ms", flush=True)
        async with await connection.open_stream() as stream:
            await stream.send(b"hello over webrtc-direct\n")
            await stream.send_eof()
            async for chunk in stream:
                print(chunk.decode(), end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listen", default="/ip4/0.0.0.0/udp/0/webrtc-direct", metavar="ADDRESS")
    parser.add_argument("--dial", metavar="ADDRESS")
    parser.add_argument("--identity", metavar="FILE", help="where the key is kept; made if there is none")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    arguments = parser.parse_args()
    identity = Identity.load_or_create(arguments.identity) if arguments.identity else Identity.generate()
    try:
        if arguments.dial:
            anyio.run(dial, identity, arguments.dial, backend=arguments.backend)
        else:
            anyio.run(listen, identity, arguments.listen, backend=arguments.backend)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
