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

    def check(self, register: Register, now: float, *, unproven_from: str | None = None) -> float | None:
        """Check a client that has proven its peer id, if the server asks for that.

        :param unproven_from: the address of one that hasn't. It doesn't use up what the owner of the peer id has
        Returns when its token expires, in seconds since 1970; ``None`` if this server wants none.

        :raises Refused: if it may not register
        """
        key = register.peer if unproven_from is None else f"{unproven_from} {register.peer}"
        if not self._registrations.take(key, now):
            raise Refused("rate-limited", f"{register.peer} registers too often")
        return None if self._tokens is None else self._tokens.verify(register.token, register.peer)
