"""ICE servers as py-libp2p applications write them: our own settings, or aiortc's objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from webrtc_transport import IceServer
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.redaction import redacted


class IceServerLike(Protocol):
    """What :class:`webrtc_transport.IceServer` and aiortc's ``RTCIceServer`` have in common."""

    @property
    def urls(self) -> str | Sequence[str]: ...
    @property
    def username(self) -> str | None: ...


class RTCConfigurationLike(Protocol):
    """What is needed of aiortc's ``RTCConfiguration``."""

    @property
    def iceServers(self) -> Sequence[IceServerLike] | None: ...  # noqa: N802 - W3C's name


def ice_servers_of(servers: Sequence[IceServerLike]) -> tuple[IceServer, ...]:
    """The same servers in our own settings.

    :raises ConfigurationError: naming the first one that is wrong
    """
    return tuple(_ice_server(server) for server in servers)


def _ice_server(server: IceServerLike) -> IceServer:
    if isinstance(server, IceServer):
        return server
    try:
        return IceServer(
            urls=server.urls, username=server.username, credential=getattr(server, "credential", None)
        )
    except ConfigurationError as exc:
        shown = redacted(str(server.urls))
        raise ConfigurationError(f"the ICE server {shown} can't be used: {exc}") from None
