"""The settings of the rendezvous server."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from webrtc_transport.redaction import redacted
from webrtc_transport.settings import Settings
from webrtc_transport.spelling import nearest

from ..limits import MAX_MESSAGE_SIZE

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_PREFIX: Final = "WEBRTC_SIGNALING_"

LogLevel = Literal["debug", "info", "warning", "error"]


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

    redis: str | None = Field(default=None, repr=False)
    """URL of the Redis that makes several servers one, such as redis://:password@10.0.0.5:6379/0 (rediss:// is with
    TLS): their clients meet each other. Without it a server knows nobody else's."""

    max_clients: int = Field(default=20_000, ge=1)
    """Connections, and registrations, in total: each costs some 30 KiB and a file descriptor."""

    max_clients_per_address: int = Field(default=256, ge=1)
    """Connections from one IP address, so that no single one takes all. Behind a reverse proxy all clients have the
    address of the proxy: set it to max_clients there."""

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

    @field_validator("redis")
    @classmethod
    def _check_redis(cls, url: str | None) -> str | None:
        if url is not None:
            if not _is_redis_url(url):
                raise ValueError(
                    f"{redacted(url)} is no URL of a Redis; write redis://host:port or rediss://host:port"
                )
            if find_spec("redis") is None:
                raise ValueError(
                    "needs a package that isn't installed: pip install 'webrtc-transport[redis]'"
                )
        return url

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


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # A query would be taken for arguments of the client.
        return (
            parts.scheme in ("redis", "rediss")
            and bool(parts.hostname)
            and parts.port != 0
            and not parts.query
        )
    except ValueError:
        return False


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{_PREFIX}{name}".upper()
