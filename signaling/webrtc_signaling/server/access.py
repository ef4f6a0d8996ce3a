"""Who may register, beyond the proof of its peer id: with which token, and how often."""

from __future__ import annotations

from ..messages import Register
from .admission import Rates
from .auth import Refused
from .settings import ServerSettings
from .tokens import TokenKey, TokenVerifier


class Access:
    """What the operator asks of those who register.

    :raises ConfigurationError: if the key for tokens can't be read
    """

    def __init__(self, settings: ServerSettings) -> None:
        file = settings.token_key_file
        self._tokens = None if file is None else TokenVerifier(TokenKey.load(file), settings.token_audience)
        self._registrations = Rates(settings.max_registrations_per_second, settings.max_registration_burst)

    def check(self, register: Register, now: float) -> float | None:
        """Check a client that has proven its peer id, if the server asks for that.

        Returns when its token expires, in seconds since 1970; ``None`` if this server wants none.

        :raises Refused: if it may not register
        """
        if not self._registrations.take(register.peer, now):
            raise Refused("rate-limited", f"{register.peer} registers too often")
        return None if self._tokens is None else self._tokens.verify(register.token, register.peer)
