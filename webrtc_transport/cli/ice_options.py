"""The flags that say how peers reach each other, the same for all commands."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Final

import typer
from typer.models import OptionInfo

from ..config import IceServer, TransportConfig
from ..errors import ConfigurationError
from ..plugins import signaling_backend_class
from ..protocol.ice_url import parse_ice_url
from ..redaction import redacted

PREFIX: Final = "WEBRTC_TRANSPORT_"
"""Of environment variables that stand for flags."""

TOKEN_CODES: Final = frozenset({"token-required", "invalid-token", "token-expired"})
"""What a signaling server refuses by that wants another token."""

LIVENESS_TIMEOUT: Final = 10.0
"""Seconds: a third of the default, because whoever is lost here is looked for again."""


def option(
    flag: str, explanation: str, *, metavar: str | None = None, minimum: float | None = None
) -> OptionInfo:
    """A flag with the variable of its name."""
    variable = PREFIX + flag.removeprefix("--").replace("-", "_").upper()
    info: OptionInfo = typer.Option(flag, help=explanation, envvar=variable, metavar=metavar, min=minimum)
    return info


SIGNALING: Final = option("--signaling", "The signaling server, as wss://host:port.", metavar="URL")
TOKEN: Final = option(
    "--token",
    "A token of the signaling server's operator. Others can see flags: the variable is the better place.",
    metavar="TEXT",
)
STUN: Final = option("--stun", "A STUN server, as stun:host; may be repeated.", metavar="URL")
TURN: Final = option("--turn", "A TURN server, as turn:host or turns:host; may be repeated.", metavar="URL")
TURN_USER: Final = option("--turn-user", "The user name for all TURN servers.", metavar="NAME")
TURN_PASSWORD: Final = option(
    "--turn-password",
    "The password that belongs to it. Others can see flags: the variable is the better place.",
    metavar="TEXT",
)
BIND: Final = option("--bind", "Use this local IP address alone.", metavar="ADDRESS")
RELAY: Final = option("--relay", "Use TURN servers alone, and show the peer no address of yours.")


_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)

_TAKING_TOKENS: Final = frozenset({"ws", "wss", "http", "https"})
"""Schemes of rendezvous servers. Other backends have no operator who gives tokens."""


def signaling_url(url: str, token: str | None) -> str:
    """The URL, with the token behind it if there is one.

    :raises typer.BadParameter: if there is no way of signaling for it, or none that takes the token
    """
    match = _SCHEME.fullmatch(url)
    if match is None:
        text = f"{redacted(url)!r} is no signaling URL; expected one like wss://host:port"
        raise typer.BadParameter(text, param_hint="--signaling")
    try:
        signaling_backend_class(match[1])
    except ConfigurationError as exc:
        text = f"{redacted(url)}: {exc}; expected a URL like wss://host:port"
        raise typer.BadParameter(text, param_hint="--signaling") from None
    if token is None:
        return url
    if match[1].lower() not in _TAKING_TOKENS:
        text = f"{redacted(url)} takes no token; leave it out, and WEBRTC_TRANSPORT_TOKEN, too"
        raise typer.BadParameter(text, param_hint="--token")
    if "#" in url:
        text = (
            f"there are two tokens for {redacted(url)}: one in the URL, and --token or WEBRTC_TRANSPORT_TOKEN"
        )
        raise typer.BadParameter(f"{text}; leave one out", param_hint="--token")
    return f"{url}#token={token}"


def stun_server(urls: Sequence[str]) -> IceServer | None:
    """The STUN servers.

    :raises typer.BadParameter: if a URL is malformed
    """
    for url in urls:
        _check(url, "--stun", "stun:")
    return IceServer(urls=list(urls)) if urls else None


def turn_servers(urls: Sequence[str], user: str | None, password: str | None) -> list[IceServer]:
    """The TURN servers, one for each URL.

    :raises typer.BadParameter: if a URL is malformed, or the credentials are missing
    """
    for url in urls:
        _check(url, "--turn", "turn:", "turns:")
    if urls and (user is None or password is None):
        missing = "--turn-user" if user is None else "--turn-password"
        raise typer.BadParameter(f"a TURN server needs {missing}, too", param_hint="--turn")
    return [IceServer(urls=url, username=user, credential=password) for url in urls]


def transport_config(
    *,
    stun: Sequence[str],
    turn: Sequence[str],
    user: str | None,
    password: str | None,
    bind: str | None,
    relay: bool,
) -> TransportConfig:
    """The settings that the flags stand for.

    :raises typer.BadParameter: if one of them can't be
    """
    if relay and not turn:
        raise typer.BadParameter(
            "without a TURN server there is no relay; name one with --turn", param_hint="--relay"
        )
    stun_found = stun_server(stun)
    servers = turn_servers(turn, user, password)
    return TransportConfig(
        ice_servers=[*([stun_found] if stun_found else []), *servers],
        ice_transport_policy="relay" if relay else "all",
        bind_addresses=None if bind is None else [_ip_address(bind)],
        liveness_timeout=LIVENESS_TIMEOUT,
    )


def _ip_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        example = "expected one of this machine, like 192.0.2.1"
        raise typer.BadParameter(f"{text!r} is no IP address; {example}", param_hint="--bind") from None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - as in IPv4
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as exc:
        raise typer.BadParameter(
            f"{text} can't be used: {exc.strerror or exc}; name an address of this machine",
            param_hint="--bind",
        ) from None
    return str(address)


def _check(url: str, flag: str, *schemes: str) -> None:
    # With an @ in it, there may be a password: parse_ice_url() tells what to do, and doesn't show it.
    if "@" not in url and not url.lower().startswith(schemes):
        kind = schemes[0].removesuffix(":")
        raise typer.BadParameter(
            f"{url!r} is no {kind.upper()} server; expected {kind}:host", param_hint=flag
        )
    try:
        parse_ice_url(url)
    except ConfigurationError as exc:
        raise typer.BadParameter(str(exc), param_hint=flag) from None
