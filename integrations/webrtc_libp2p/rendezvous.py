"""Ways to signal by which peers reach a host without a relay in the address, and whether they work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskStatus

from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.errors import ConfigurationError, SignalingError
from webrtc_transport.identity import PeerId
from webrtc_transport.redaction import redacted
from webrtc_transport.transport import BackendSource, make_backend


class Rendezvous:
    """The backends of one run, each watched."""

    def __init__(self, sources: Sequence[BackendSource]) -> None:
        self.sources: Sequence[BackendSource] = [self._watched(source) for source in sources]
        """For the transport: they make the backends."""
        self._backends: list[_WatchedBackend] = []

    @property
    def is_reachable(self) -> bool:
        """Whether peers can reach us by one of them at least, while the transport listens."""
        return any(backend.failure is None for backend in self._backends)

    @property
    def failure(self) -> SignalingError | None:
        """What the first of them failed by, if all have."""
        if self.is_reachable or not self._backends:
            return None
        return self._backends[0].failure

    def _watched(self, source: BackendSource) -> Callable[[SignalingContext], SignalingBackend]:
        def create(context: SignalingContext) -> SignalingBackend:
            backend = _WatchedBackend(make_backend(source, context))
            self._backends.append(backend)
            return backend

        return create


class _WatchedBackend(SignalingBackend):
    """Another backend, of which it is known how its listening went."""

    def __init__(self, backend: SignalingBackend) -> None:
        self.failure: SignalingError | None = None
        self._backend = backend

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:  # noqa: ARG003
        raise ConfigurationError(f"{redacted(url)!r}: no URL stands for a backend that is watched")

    async def __aenter__(self) -> Self:
        await self._backend.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self._backend.__aexit__(exc_type, exc_val, exc_tb)

    async def connect(self, peer: PeerId) -> SignalingSession:
        return await self._backend.connect(peer)

    async def serve(
        self,
        handler: Callable[[SignalingSession], Coroutine[object, object, None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        self.failure = None
        try:
            await self._backend.serve(handler, task_status=task_status)
        except SignalingError as exc:
            self.failure = exc
            raise
