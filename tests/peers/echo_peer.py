"""An echo peer as a process of its own. It tells what happens to it as lines of JSON, each with an ``event``."""

import argparse
import json
import sys
import time

import anyio

from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.errors import WebRTCError


def tell(event, **fields):
    print(json.dumps({"event": event, "at": time.time(), **fields}), flush=True)


async def echo(stream):
    try:
        async with stream:
            async for chunk in stream:
                await stream.send(chunk)
            await stream.send_eof()
    except WebRTCError as exc:
        tell("stream-ended", error=type(exc).__name__)


async def serve_connection(connection):
    pair = connection.candidate_pair
    tell("connected", peer=str(connection.remote_peer), pair=pair.kind, times=vars(connection.setup_times))
    await connection.serve(echo)
    reason = connection.end_reason
    tell("closed", peer=str(connection.remote_peer), error=type(reason).__name__, reason=str(reason))


async def main(signaling):
    async with WebRTCTransport(Identity.generate(), signaling=[signaling]) as transport:
        listener = await transport.listen("/webrtc")
        tell("listening", peer=str(transport.peer_id), address=str(listener.addresses[0]))
        await listener.serve(serve_connection)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("asyncio", "trio"), required=True)
    parser.add_argument("--signaling", required=True)
    arguments = parser.parse_args()
    try:
        anyio.run(main, arguments.signaling, backend=arguments.backend)
    except KeyboardInterrupt:
        sys.exit(0)
