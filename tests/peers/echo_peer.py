"""An echo peer as a process of its own. It tells what happens to it as lines of JSON, each with an ``event``."""

import argparse
import json
import re
import sys
import time

import anyio

from webrtc_transport import Identity, TransportConfig, WebRTCTransport
from webrtc_transport.errors import WebRTCError
from webrtc_transport.signaled_connector import SignaledConnector


def tell(event, **fields):
    sys.stdout.write(json.dumps({"event": event, "at": time.time(), **fields}) + "\n")
    sys.stdout.flush()


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


async def main(signaling, engine):
    config = TransportConfig(engine=engine)
    async with WebRTCTransport(Identity.generate(), signaling=[signaling], config=config) as transport:
        listener = await transport.listen("/webrtc")
        tell("listening", peer=str(transport.peer_id), address=str(listener.addresses[0]))
        await listener.serve(serve_connection)


def forge_answers():
    """Swap the certificate of each answer after it was signed, as a server in the middle would."""
    sign = SignaledConnector.sign_answer

    def forge(self, session, sdp):
        answer = sign(self, session, sdp)
        forged = re.sub("a=fingerprint:.*", f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}", sdp)
        return answer.model_copy(update={"data": answer.data.model_copy(update={"sdp": forged})})

    SignaledConnector.sign_answer = forge


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("asyncio", "trio"), required=True)
    parser.add_argument("--signaling", required=True)
    parser.add_argument("--engine", default=TransportConfig().engine)
    parser.add_argument("--forge-answers", action="store_true")
    arguments = parser.parse_args()
    if arguments.forge_answers:
        forge_answers()
    try:
        anyio.run(main, arguments.signaling, arguments.engine, backend=arguments.backend)
    except KeyboardInterrupt:
        sys.exit(0)
