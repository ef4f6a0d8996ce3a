"""Dialing a server by its webrtc-direct address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from .connection import Connection
from .direct_connector import DirectConnector
from .direct_link import DirectLink
from .engine.direct_hosts import resolve
from .engine.direct_port import DirectDialPort
from .errors import ConnectError, ConnectTimeout, IceFailed
from .protocol.direct_address import DirectAddress
from .protocol.stun_message import Address
from .protocol.ufrag import Flow, new_credentials


class DirectDialer:
    """Makes one outbound connection."""

    def __init__(self, connector: DirectConnector) -> None:
        self._connector = connector
        self._link: DirectLink | None = None

    async def dial(self, address: DirectAddress) -> Connection:
        """Connect to the peer at ``address``, which has a ``certhash``.

        :raises ConnectError: naming the phase that failed, and what could help
        :raises ConfigurationError: if the configured certificate has expired
        """
        self._connector.check_certificate()
        timeout = self._connector.config.dial_timeout
        with anyio.move_on_after(timeout):
            return await self._dial(address)
        if self._link is None:
            raise ConnectTimeout(f"{address.host} was not resolved within {timeout:g} s; does DNS answer?")
        raise self._link.timed_out(timeout)

    async def _dial(self, address: DirectAddress) -> Connection:
        connector, failure = self._connector, None
        resolved = await self._resolve(address)
        for flow in connector.flows_to(address.peer):
            # One family after the other, for a socket has one.
            for host, targets in resolved.items():
                try:
                    connection = await self._dial_from(host, targets, address, flow)
                except IceFailed as exc:
                    failure = exc
                else:
                    connector.connected(connection.remote_peer, flow)
                    return connection
            connector.refused(address.peer, flow)
        assert failure is not None, "a name that is resolved has an address"
        raise failure

    async def _resolve(self, address: DirectAddress) -> Mapping[str, Sequence[Address]]:
        """What is to be dialed, by the local host of the socket."""
        try:
            return await resolve(self._connector.driver, address)
        except OSError as exc:
            cure = "check its spelling, and this machine's DNS"
            raise ConnectError(f"{address.host} can't be resolved: {exc.strerror or exc}; {cure}") from exc

    async def _dial_from(
        self, host: str, targets: Sequence[Address], address: DirectAddress, flow: Flow
    ) -> Connection:
        connector = self._connector
        link = self._link = connector.link(
            targets[0], is_server=False, expected=address.peer, certhashes=address.certhashes
        )
        async with connector.links.setting_up(link):
            try:
                port = DirectDialPort(
                    connector.driver,
                    host,
                    targets,
                    credentials=new_credentials(flow),
                    context=connector.context,
                    fingerprints=address.certhashes,
                    events=link,
                    config=connector.config,
                )
            except OSError as exc:
                raise IceFailed(f"no UDP socket can be opened: {exc.strerror}") from exc
            link.attach(port.peer)
            return await link.prove()
