"""The settings of the rendezvous server."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from webrtc_transport.redaction import redacted
from webrtc_transport.settings import Settings
from webrtc_transport.spelling import nearest

from ..limits import MAX_MESSAGE_SIZE
from .logs import LogFormat
from .setting_sources import Environment, TomlFile

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_PREFIX: Final = "WEBRTC_SIGNALING_"

LogLevel = Literal["debug", "info", "warning", "error"]


class Topic(StrEnum):
    """What a setting is about: ``--help`` shows those of one topic together. Annotate the field with it."""

    LISTENING = "Listening"
    ACCESS = "Who gets in"
    OPERATION = "Operation"
    CLUSTER = "Several servers"
    TIMES = "Times, in seconds"
    LIMITS = "Limits"
    OTHER = "Other settings"
    """Of those without a topic."""


class ServerSettings(Settings, BaseSettings):
    """Settings. What isn't given here is taken from the environment, ``WEBRTC_SIGNALING_PORT`` and so on; what isn't
    there, from the TOML file ``config``, if one is given, where it is called ``port``.

    Each field is an option of ``webrtc-signaling serve``, too. A list is one variable with blanks or commas between its
    entries, an option that may be repeated, and an array in the file.

    A variable that begins so and is no setting is ignored, with a warning.

    :raises ConfigurationError: if a setting is unknown or wrong, or the file can't be read; one line for each fault
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    config: Annotated[Path | None, Topic.OPERATION] = None
    """A TOML file with settings, one ``name = value`` a line, such as ``port = 8765``. Options and variables win over
    it."""

    host: Annotated[str, Topic.LISTENING] = "127.0.0.1"
    """Address or name to listen on; 0.0.0.0 is every IPv4 address of this machine."""

    port: Annotated[int, Topic.LISTENING] = Field(default=8765, ge=0, le=65535)
    """TCP port to listen on; 0 picks a free one."""

    insecure: Annotated[bool, Topic.ACCESS] = False
    """Accept peer ids without proof: anybody can take anybody's place. For experiments only."""

    log_level: Annotated[LogLevel, Topic.OPERATION] = "info"
    """How much to log: ``info`` has a line for each client and session that comes or goes, ``warning`` what needs
    attention."""

    log_format: Annotated[LogFormat, Topic.OPERATION] = "text"
    """Lines for people, or one JSON object a line."""

    operator_token: Annotated[SecretStr | None, Topic.OPERATION] = Field(default=None, min_length=16)
    """Lets in to the status page and the metrics, as ``Authorization: Bearer …``; at least 16 characters. Requests
    from this machine need it, too. Without it, only those get in, and none that a reverse proxy passes on."""

    drain: Annotated[float, Topic.OPERATION] = Field(default=0.0, ge=0, le=3600)
    """Seconds from SIGTERM to the end, in which the server goes on and ``/readyz`` says that nobody else should come: a
    load balancer needs a few to see it."""

    grace: Annotated[float, Topic.TIMES] = Field(default=30.0, ge=0, le=86400)
    """How long a peer that lost its connection keeps its registration, and what is sent to it."""

    heartbeat: Annotated[float, Topic.TIMES] = Field(default=20.0, gt=0)
    """A silent client is asked after this time, and dropped when it doesn't answer in half of it."""

    register_timeout: Annotated[float, Topic.TIMES] = Field(default=10.0, gt=0)
    """How long a connection may take to prove its peer id; who only holds connections open pays for it."""

    close_timeout: Annotated[float, Topic.TIMES] = Field(default=2.0, gt=0)
    """How long a closing connection gets to take what is left for it."""

    reuse_port: Annotated[bool, Topic.LISTENING] = False
    """Let another server listen on the same port, so that it can take over without a gap: start it, and then end this
    one. Both need the setting. Not on Windows."""

    redis: Annotated[str | None, Topic.CLUSTER] = Field(default=None, repr=False)
    """URL of the Redis that makes several servers one, such as redis://:password@10.0.0.5:6379/0 (rediss:// is with
    TLS): their clients meet each other. Without it a server knows nobody else's."""
    tls_certificate: Annotated[Path | None, Topic.LISTENING] = None
    """File of a certificate in PEM, with those of its authorities after it: the server speaks wss:// and https://.
    Without one it speaks none, and belongs behind a proxy that does."""

    tls_key: Annotated[Path | None, Topic.LISTENING] = None
    """File of the private key of that certificate, in PEM; it may stand in the same file instead."""

    allowed_origins: Annotated[tuple[str, ...], Topic.ACCESS] = ()
    """Web pages that may use the server beside its own: origins such as https://app.example.org, or * for all. Programs
    that are no browsers are not asked."""

    trusted_proxies: Annotated[tuple[str, ...], Topic.ACCESS] = ()
    """Addresses, or networks such as 10.0.0.0/8, of reverse proxies whose header X-Forwarded-For is believed. Name only
    proxies of your own that set it: others could come as anybody."""

    token_key_file: Annotated[Path | None, Topic.ACCESS] = None
    """Who registers needs a token that is signed with the key in this file: an Ed25519 key in PEM (EdDSA), or a secret
    of 32 bytes or more (HS256). Without one, everybody with a peer id of its own may register."""

    token_audience: Annotated[str | None, Topic.ACCESS] = Field(default=None, min_length=1)
    """What tokens must have in the claim aud, when several services share a key. Tokens for another one are refused."""

    max_registrations_per_second: Annotated[float, Topic.LIMITS] = Field(default=1.0, gt=0)
    """Registrations of one peer in the long run."""

    max_registration_burst: Annotated[int, Topic.LIMITS] = Field(default=30, ge=1)
    """Registrations of one peer at once: a bad network breaks connections in a row."""

    turn_urls: Annotated[tuple[str, ...], Topic.ACCESS] = ()
    """URLs of TURN servers, such as turn:turn.example.org, for which proven peers get credentials when they ask."""

    turn_secret_file: Annotated[Path | None, Topic.ACCESS] = None
    """File with the secret of these TURN servers: coturn's static-auth-secret."""

    turn_lifetime: Annotated[int, Topic.ACCESS] = Field(default=43_200, ge=1, le=7 * 86_400)
    """Seconds for which TURN credentials are good. Longer than connections last, for they renew their relay by them."""

    max_clients: Annotated[int, Topic.LIMITS] = Field(default=20_000, ge=1)
    """Connections, and registrations, in total: each costs some 5 KiB, by polls
    some 15 KiB, and a file descriptor."""

    max_clients_per_address: Annotated[int, Topic.LIMITS] = Field(default=256, ge=1)
    """Connections from one IP address, or one /64 of IPv6, so that no single one takes all. Behind a reverse proxy all
    clients have the address of the proxy: name it in trusted_proxies."""

    max_connections_per_second_per_address: Annotated[float, Topic.LIMITS] = Field(default=20.0, gt=0)
    """New connections from one address in the long run. Each costs the check of a signature."""

    max_connection_burst_per_address: Annotated[int | None, Topic.LIMITS] = Field(default=None, ge=1)
    """The same at once: all clients of an office come back when the server was restarted. By default it is
    twice max_clients_per_address."""

    max_sockets_per_address: Annotated[int | None, Topic.LIMITS] = Field(default=None, ge=1)
    """TCP connections from one address that speak HTTP, with idle ones; WebSockets count as clients alone, and trusted
    proxies are not counted. A client that polls has two. By default it is four times max_clients_per_address."""

    max_messages_per_second: Annotated[float, Topic.LIMITS] = Field(default=500.0, gt=0)
    """Messages that a client may send in the long run; more of them end the connection. A dial takes about 10. The
    pings, pongs and fragments of a WebSocket have the same bounds, counted by themselves."""

    max_message_burst: Annotated[int, Topic.LIMITS] = Field(default=5000, ge=1)
    """Messages that a client may send at once: what it has kept during a lost connection, and more."""

    max_sessions: Annotated[int, Topic.LIMITS] = Field(default=512, ge=1)
    """Sessions that a client has started and not ended: nobody dials more peers at once."""

    session_idle: Annotated[float, Topic.TIMES] = Field(default=300.0, gt=0)
    """A session in which nothing was sent for so long no longer counts. Exchanges of descriptions take seconds."""

    max_queued_messages: Annotated[int, Topic.LIMITS] = Field(default=4096, ge=16)
    """Messages that wait for one client, because it is away or reads slowly; to further ones it is busy."""

    max_queued_bytes: Annotated[int, Topic.LIMITS] = Field(default=1024 * 1024, ge=MAX_MESSAGE_SIZE)
    """Bytes of the same."""

    max_total_queued_bytes: Annotated[int, Topic.LIMITS] = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
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

    def __init__(self, **values: Any) -> None:
        fields = type(self).model_fields
        for name in sorted(os.environ):
            setting = name.lower().removeprefix(_PREFIX.lower())
            if setting != name.lower() and setting not in fields:
                near = nearest(setting, fields)
                cure = f"; did you mean {variable(near)}?" if near else ""
                _logger.warning("the environment variable %s is no setting, and is ignored%s", name, cure)
        super().__init__(**values)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours reads lists otherwise
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic-settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where settings come from; the first wins. Called by pydantic-settings."""
        arguments, environment = init_settings, Environment(settings_cls)
        file = _file(arguments())
        if file is None:
            return arguments, environment
        return arguments, environment, TomlFile(settings_cls, file)

    @classmethod
    def _place(cls, name: str, given: Mapping[str, object]) -> str:
        file = None if name in given else _file(given)
        return super()._place(name, given) if file is None else str(file)

    @classmethod
    def _origin(cls, name: str, given: Mapping[str, object]) -> str:
        is_variable = name not in given and _from_environment(name) is not None
        return variable(name) if is_variable else super()._origin(name, given)


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


def _from_environment(name: str) -> str | None:
    """What the environment says; variables are found in capitals or not."""
    return next((value for key, value in os.environ.items() if key.upper() == variable(name)), None)


def _file(given: Mapping[str, object]) -> Path | None:
    """The file that settings are read from, if there is one."""
    name = given.get("config") or _from_environment("config")
    return Path(str(name)) if name else None
