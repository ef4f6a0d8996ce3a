"""What dialer and listener of webrtc-direct have in common: our certificate, the event loop, and the links."""

from __future__ import annotations

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
from .protocol.sdp import Fingerprint
from .protocol.stun_message import Address

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
