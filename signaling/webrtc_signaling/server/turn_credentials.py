"""Credentials for TURN that are good for a time, in the scheme of coturn's ``use-auth-secret``.

It is that of draft-uberti-behave-turn-rest-00, section 2.2. The user name is the time at which it ends, in seconds
since 1970, a colon, and who it is for. The password is the HMAC-SHA1 of that, under a secret that both servers know.
So the TURN server needs no list of users, and who has the credentials can't make others.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Sequence

from webrtc_transport.config import IceServer
from webrtc_transport.errors import ConfigurationError

from ..limits import MAX_ICE_SERVERS, MAX_ICE_TEXT_LENGTH
from ..messages import IceServerData, IceServers
from .secret_files import read_secret
from .settings import ServerSettings


class TurnCredentials:
    """Makes credentials for the TURN servers at ``urls``.

    :param lifetime: of the credentials, in seconds
    """

    def __init__(self, urls: Sequence[str], secret: bytes, lifetime: int) -> None:
        self._urls = tuple(urls)
        self._secret = secret
        self._lifetime = lifetime

    @classmethod
    def of(cls, settings: ServerSettings) -> TurnCredentials | None:
        """What the settings say; ``None`` if they name no TURN server.

        :raises ConfigurationError: if a URL is wrong, or the secret can't be read
        """
        if not settings.turn_urls:
            if settings.turn_secret_file is not None:
                raise ConfigurationError("turn_secret_file is set, and no turn_urls; set both")
            return None
        if settings.turn_secret_file is None:
            raise ConfigurationError(
                "turn_urls is set, and no turn_secret_file; set it to a file with coturn's static-auth-secret"
            )
        try:
            urls = IceServer(urls=settings.turn_urls, username="-", credential="-").parsed
        except ConfigurationError as exc:
            raise ConfigurationError(f"turn_urls: {exc}") from None
        for url in urls:
            if not url.is_turn:
                raise ConfigurationError(f"turn_urls: {url} is no TURN server, and wants no credentials")
        if len(urls) > MAX_ICE_SERVERS or any(len(text) > MAX_ICE_TEXT_LENGTH for text in settings.turn_urls):
            raise ConfigurationError(
                f"turn_urls: clients take {MAX_ICE_SERVERS} URLs, of {MAX_ICE_TEXT_LENGTH} characters at most"
            )
        secret = read_secret(settings.turn_secret_file, "TURN secret")
        return cls(settings.turn_urls, secret, settings.turn_lifetime)

    def make(self, peer: str, now: float, *, until: float = math.inf) -> IceServers:
        """Credentials for ``peer``, none if there is no whole second left; times are in seconds since 1970.

        :param until: when its right to them ends, with its token
        """
        lifetime = int(min(self._lifetime, until - now))
        if lifetime < 1:
            return IceServers(servers=(), lifetime=0)
        username = f"{int(now) + lifetime}:{peer}"
        digest = hmac.digest(self._secret, username.encode(), hashlib.sha1)
        credential = base64.b64encode(digest).decode()
        server = IceServerData(urls=self._urls, username=username, credential=credential)
        return IceServers(servers=(server,), lifetime=lifetime)
