"""A backend that is made of its client alone, over a service that carries messages."""

import asyncio
import contextlib
import functools

import anyio
import pytest

from tests.webrtc_signaling.samples import ALICE, BOB
from webrtc_signaling.client_backend import ClientBackend, SignalingClient
from webrtc_signaling.envelopes import decode_envelope, encode_envelope
from webrtc_signaling.session_book import SessionBook
from webrtc_signaling.testing import SignalingConformance
from webrtc_signaling.testing.meeting import echo
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import PeerUnreachable, SignalingRejected, SignalingUnavailable
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


class Client(SignalingClient):
    """Of a service that is a dictionary: who can be reached, by peer id."""

    def __init__(self, service, peer, events):
        self.sessions = SessionBook(peer, events, self._push)
        self.events = events
        self._service = service
        self._peer = peer

    async def ready(self):
        if self._service is None:
            raise SignalingUnavailable("there is no dictionary")
        self._service[self._peer] = self

    async def aclose(self):
        self._service.pop(self._peer, None)

    def _push(self, envelope):
        if envelope.recipient not in self._service:
            raise PeerUnreachable("not in the dictionary")
        recipient = self._service[envelope.recipient]
        data = encode_envelope(envelope)
        asyncio.get_running_loop().call_soon(lambda: recipient.sessions.receive(decode_envelope(data)))


class DictionaryBackend(ClientBackend):
    def __init__(self, service, context):
        super().__init__(context, functools.partial(Client, service, str(context.identity.peer_id)))

    @classmethod
    def from_url(cls, url, context):
        return cls({}, context)


class TestConformance(SignalingConformance):
    @contextlib.asynccontextmanager
    async def service(self):
        async with open_portal() as self._portal:
            self._dictionary = {}
            yield "dictionary://"

    def backend(self, url, identity):
        return DictionaryBackend(
            self._dictionary, SignalingContext(identity, TransportConfig(), self._portal)
        )


async def test_who_serves_hears_that_the_service_is_gone_for_good():
    async with open_portal() as portal:
        backend = DictionaryBackend({}, SignalingContext(ALICE, TransportConfig(), portal))
        async with backend, anyio.create_task_group() as task_group:

            async def serve(*, task_status):
                with pytest.raises(SignalingRejected, match="go away"):
                    await backend.serve(echo, task_status=task_status)

            await task_group.start(serve)
            gone = SignalingRejected("go away")
            portal.post(lambda: backend._caller.client.events.on_refused(gone))


async def test_what_the_client_raises_reaches_who_dials():
    async with open_portal() as portal:
        backend = DictionaryBackend(None, SignalingContext(ALICE, TransportConfig(), portal))
        with pytest.raises(SignalingUnavailable, match="no dictionary"):
            await backend.connect(BOB.peer_id)
