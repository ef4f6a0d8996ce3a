"""The settings of the rendezvous server."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from webrtc_transport.settings import Settings
from webrtc_transport.spelling import nearest

from ..limits import MAX_MESSAGE_SIZE

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_PREFIX: Final = "WEBRTC_SIGNALING_"

LogLevel = Literal["debug", "info", "warning", "error"]


def _split(value: object) -> object:
    """As flags and variables of the environment have lists: with commas or spaces between."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class ServerSettings(Settings, BaseSettings):
    """Settings, each also an environment variable: ``WEBRTC_SIGNALING_PORT`` and so on. Times are seconds.

    A variable that begins so and is no setting is ignored, with a warning.

    :raises ConfigurationError: if a setting is unknown or wrong; with one line for each fault
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address or name to listen on; 0.0.0.0 is every IPv4 address of this machine."""

    port: int = Field(default=8765, ge=0, le=65535)
    """TCP port to listen on; 0 picks a free one."""

    insecure: bool = False
    """Accept peer ids without proof: anybody can take anybody's place. For experiments only."""

    log_level: LogLevel = "info"
    """How much to log."""

    grace: float = Field(default=30.0, ge=0, le=86400)
    """How long a peer that lost its connection keeps its registration, and what is sent to it."""

    heartbeat: float = Field(default=20.0, gt=0)
    """A silent client is asked after this time, and dropped when it doesn't answer in half of it."""

    register_timeout: float = Field(default=10.0, gt=0)
    """How long a connection may take to prove its peer id; who only holds connections open pays for it."""

    close_timeout: float = Field(default=2.0, gt=0)
    """How long a closing connection gets to take what is left for it."""

    reuse_port: bool = False
    """Let another server listen on the same port, so that it can take over without a gap: start it, and then end this
    one. Both need the setting. Not on Windows."""

    tls_certificate: Path | None = None
    """File of a certificate in PEM, with those of its authorities after it: the server speaks wss:// and https://.
    Without one it speaks none, and belongs behind a proxy that does."""

    tls_key: Path | None = None
    """File of the private key of that certificate, in PEM; it may stand in the same file instead."""

    allowed_origins: Names = ()
    """Web pages that may use the server beside its own: origins such as https://app.example.org, or * for all. Programs
    that are no browsers are not asked."""

    trusted_proxies: Names = ()
    """Addresses, or networks such as 10.0.0.0/8, of reverse proxies whose header X-Forwarded-For is believed. Name only
    proxies of your own that set it: others could come as anybody."""

    token_key_file: Path | None = None
    """Who registers needs a token that is signed with the key in this file: an Ed25519 key in PEM (EdDSA), or a secret
    of 32 bytes or more (HS256). Without one, everybody with a peer id of its own may register."""

    token_audience: str | None = Field(default=None, min_length=1)
    """What tokens must have in the claim aud, when several services share a key. Tokens for another one are refused."""

    max_registrations_per_second: float = Field(default=1.0, gt=0)
    """Registrations of one peer in the long run."""

    max_registration_burst: int = Field(default=30, ge=1)
    """Registrations of one peer at once: a bad network breaks connections in a row."""

    turn_urls: Names = ()
    """URLs of TURN servers, such as turn:turn.example.org, for which proven peers get credentials when they ask."""

    turn_secret_file: Path | None = None
    """File with the secret of these TURN servers: coturn's static-auth-secret."""

    turn_lifetime: int = Field(default=43_200, ge=1, le=7 * 86_400)
    """Seconds for which TURN credentials are good. Longer than connections last, for they renew their relay by them."""

    max_clients: int = Field(default=20_000, ge=1)
    """Connections, and registrations, in total: each costs some 30 KiB and a file descriptor."""

    max_clients_per_address: int = Field(default=256, ge=1)
    """Connections from one IP address, or one /64 of IPv6, so that no single one takes all. Behind a reverse proxy all
    clients have the address of the proxy: name it in trusted_proxies."""

    max_connections_per_second_per_address: float = Field(default=20.0, gt=0)
    """New connections from one address in the long run. Each costs the check of a signature."""

    max_connection_burst_per_address: int | None = Field(default=None, ge=1)
    """The same at once: all clients of an office come back when the server was restarted. By default it is
    twice max_clients_per_address."""

    max_sockets_per_address: int | None = Field(default=None, ge=1)
    """TCP connections from one address, with idle ones; those of trusted proxies are not counted. A client that polls
    has two. By default it is four times max_clients_per_address."""

    max_messages_per_second: float = Field(default=500.0, gt=0)
    """Messages that a client may send in the long run; more of them end the connection. A dial takes about 10."""

    max_message_burst: int = Field(default=5000, ge=1)
    """Messages that a client may send at once: what it has kept during a lost connection, and more."""

    max_sessions: int = Field(default=512, ge=1)
    """Sessions that a client has started and not ended: nobody dials more peers at once."""

    session_idle: float = Field(default=300.0, gt=0)
    """A session in which nothing was sent for so long no longer counts. Exchanges of descriptions take seconds."""

    max_queued_messages: int = Field(default=4096, ge=16)
    """Messages that wait for one client, because it is away or reads slowly; to further ones it is busy."""

    max_queued_bytes: int = Field(default=1024 * 1024, ge=MAX_MESSAGE_SIZE)
    """Bytes of the same."""

    max_total_queued_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Bytes that wait for all clients together. When there are more, the client for which most waits has to go: one
    that reads has next to nothing waiting."""

    def __init__(self, **values: object) -> None:
        fields = type(self).model_fields
        for name in sorted(os.environ):
            setting = name.lower().removeprefix(_PREFIX.lower())
            if setting != name.lower() and setting not in fields:
                near = nearest(setting, fields)
                cure = f"; did you mean {variable(near)}?" if near else ""
                _logger.warning("the environment variable %s is no setting, and is ignored%s", name, cure)
        super().__init__(**values)

    @classmethod
    def _origin(cls, name: str, *, is_argument: bool) -> str:
        return super()._origin(name, is_argument=True) if is_argument else variable(name)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{_PREFIX}{name}".upper()
