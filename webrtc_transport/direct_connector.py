"""What dialer and listener of webrtc-direct have in common: our certificate, the event loop, and the links."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from .certificates import check_certificate
from .config import TransportConfig
from .direct_link import DirectLink
from .engine.driver import Driver
from .engine.dtls import make_context
from .identity import Identity, PeerId
from .links import Links
from .protocol.limits import MAX_REMEMBERED_V2_PEERS
from .protocol.sdp import Fingerprint
from .protocol.stun_message import Address
from .protocol.ufrag import Flow

if TYPE_CHECKING:
    from OpenSSL import SSL


class DirectConnector:
    """Makes the links of webrtc-direct for one identity.

    :param driver: of the caller's loop
    """

    def __init__(self, identity: Identity, driver: Driver, config: TransportConfig, links: Links) -> None:
        self.identity = identity
        self.driver = driver
        self.config = config
        self.links = links
        self._certificate = config.certificate or identity.derive_certificate()
        self._speaks_v2: dict[PeerId, None] = {}
        """Peers that connected by version 2; the longest known first."""

    def check_certificate(self) -> None:
        """Check that our certificate can be shown.

        :raises ConfigurationError: if it is configured, and has expired
        """
        check_certificate(self._certificate, datetime.now(UTC))

    @cached_property
    def context(self) -> SSL.Context:
        """For DTLS, with our certificate."""
        return make_context(self._certificate)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """That of our certificate."""
        return Fingerprint("sha-256", self._certificate.fingerprint())

    def flows_to(self, peer: PeerId | None) -> Sequence[Flow]:
        """In which flows to dial ``peer``, one after the other."""
        match self.config.direct_version:
            case "v1":
                return (Flow.V1,)
            case "v2":
                return (Flow.V2,)
            case "auto":
                # It may run something else by now.
                return (Flow.V2, Flow.V1) if peer in self._speaks_v2 else (Flow.V1,)

    def connected(self, peer: PeerId, flow: Flow) -> None:
        """Remember in which flow a connection with ``peer``, by either end, came to be."""
        if flow is Flow.V2:
            self._speaks_v2[peer] = None
            if len(self._speaks_v2) > MAX_REMEMBERED_V2_PEERS:
                del self._speaks_v2[next(iter(self._speaks_v2))]

    def refused(self, peer: PeerId | None, flow: Flow) -> None:
        """Forget that ``peer`` spoke ``flow``: it doesn't answer."""
        if flow is Flow.V2 and peer is not None:
            self._speaks_v2.pop(peer, None)

    def link(
        self,
        remote: Address,
        *,
        is_server: bool,
        expected: PeerId | None = None,
        certhashes: tuple[Fingerprint, ...] = (),
    ) -> DirectLink:
        """A link to ``remote``; see :class:`~webrtc_transport.direct_link.DirectLink`."""
        return DirectLink(
            self.identity,
            self.config,
            remote,
            own=self.fingerprint,
            is_server=is_server,
            expected=expected,
            certhashes=certhashes,
            on_end=self.links.ended,
        )
