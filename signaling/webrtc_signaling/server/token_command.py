"""``webrtc-signaling token``: makes tokens for those who may use a server."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from webrtc_transport.errors import ConfigurationError, IdentityError
from webrtc_transport.identity import PeerId

from .tokens import TokenKey, make_token

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def token(
    key_file: Annotated[
        Path,
        typer.Option(
            help="The key that signs: a private Ed25519 key in PEM, or a secret of 32 bytes or more. The server has "
            "the same secret, or the public key, in its setting token_key_file.",
            metavar="FILE",
        ),
    ],
    expires: Annotated[
        str, typer.Option(help="How long it is good: 90s, 15m, 12h or 30d.", metavar="DURATION")
    ],
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="A peer id that may use it; may be given more than once. Without any, everybody may.",
            metavar="PEER",
        ),
    ] = None,
    audience: Annotated[
        str | None, typer.Option(help="The server's setting token_audience, if it has one.", metavar="NAME")
    ] = None,
) -> None:
    """Make a token for a server that asks for one, and print it."""
    try:
        peers = [str(PeerId.from_string(text)) for text in peer or ()]
        made = make_token(
            TokenKey.load(key_file),
            expires_at=time.time() + _seconds(expires),
            peers=peers,
            audience=audience,
        )
    except (ConfigurationError, IdentityError) as exc:
        raise typer.BadParameter(str(exc)) from None
    typer.echo(made)


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"--expires: {text!r} is no duration; write one like 90s, 15m, 12h or 30d")
    return int(match[1]) * _UNITS[match[2]]
