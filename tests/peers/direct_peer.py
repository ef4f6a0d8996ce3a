"""An echo peer of webrtc-direct as a process of its own. It tells what happens to it as lines of JSON."""

import argparse
import json
import sys

import anyio

from webrtc_transport import Identity, TransportConfig, WebRTCTransport


def tell(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


async def echo(stream):
    async for chunk in stream:
        await stream.send(chunk)
    await stream.send_eof()


async def main(dial, listen, identity):
    config = TransportConfig(liveness_timeout=1.0)
    own = Identity.load_or_create(identity) if identity else Identity.generate()
    async with WebRTCTransport(own, config=config) as transport:
        if dial is not None:
            async with await transport.dial(dial) as connection:
                tell("connected")
                await connection.serve(echo)
        else:
            listener = await transport.listen(listen)
            tell("listening", address=str(listener.addresses[0]))
            await listener.serve(lambda connection: connection.serve(echo))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dial", help="dial this address, in place of listening")
    parser.add_argument("--listen", default="/ip4/127.0.0.1/udp/0/webrtc-direct")
    parser.add_argument("--identity", help="the file with the key")
    anyio.run(main, *vars(parser.parse_args()).values())
