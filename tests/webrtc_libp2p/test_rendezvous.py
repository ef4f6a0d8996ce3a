import anyio
import pytest

from webrtc_libp2p.rendezvous import Rendezvous
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Identity, TransportConfig
from webrtc_transport.abc import SignalingContext
from webrtc_transport.errors import ConfigurationError, SignalingUnavailable
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio

OWN = Identity.generate()


class Failing(MemoryBackend):
    async def serve(self, handler, *, task_status=anyio.TASK_STATUS_IGNORED):
        raise SignalingUnavailable("nobody there")


async def backends(*sources):
    rendezvous = Rendezvous(sources)
    async with open_portal() as portal:
        context = SignalingContext(OWN, TransportConfig(), portal)
        return rendezvous, [source(context) for source in rendezvous.sources]


async def serve(backend):
    async with anyio.create_task_group() as task_group, backend:
        await task_group.start(backend.serve, None)
        task_group.cancel_scope.cancel()


async def test_none_is_no_failure_and_reaches_nobody():
    rendezvous, _ = await backends()
    assert not rendezvous.is_reachable
    assert rendezvous.failure is None


async def test_one_that_works_is_enough():
    rendezvous, (working, failing) = await backends(MemoryBackend(OWN), Failing(OWN))
    await serve(working)
    with pytest.raises(SignalingUnavailable):
        await failing.serve(None)
    assert rendezvous.is_reachable
    assert rendezvous.failure is None


async def test_all_that_fail_are_told_of():
    rendezvous, (failing,) = await backends(Failing(OWN))
    with pytest.raises(SignalingUnavailable):
        await failing.serve(None)
    assert not rendezvous.is_reachable
    assert isinstance(rendezvous.failure, SignalingUnavailable)


async def test_they_connect_as_before():
    _, (backend,) = await backends(MemoryBackend(OWN, "somewhere"))
    with pytest.raises(SignalingUnavailable.__base__):
        await backend.connect(Identity.generate().peer_id)
    with pytest.raises(ConfigurationError, match="no URL"):
        type(backend).from_url("memory://", None)
