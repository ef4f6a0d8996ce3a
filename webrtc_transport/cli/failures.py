"""How commands end: with a status, and one line on standard error that says what to do; never with a traceback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import typer

from ..errors import PeerUnreachable, SignalingError, SignalingRejected, WebRTCError, describe
from .ice_options import TOKEN_CODES
from .main import INTERRUPTED
from .printable import printable
from .transfer.exchange import Refused
from .transfer.messages import InvalidMessage
from .transfer.part_file import StorageError
from .transfer.people import NobodyThere
from .transfer.sending import GivenUp
from .transfer.source_file import SourceError

FAILED: Final = 1


_TOLD: Final = (
    GivenUp,
    InvalidMessage,
    NobodyThere,
    OSError,
    Refused,
    SourceError,
    StorageError,
    ValueError,
    WebRTCError,
)
"""Errors that users can do something about. Any other is a mistake of ours, and shows where it was made."""


def run(command: Callable[[], Awaitable[None]], *, interrupted: str) -> None:
    """Run ``command`` on asyncio, and end the program with a status if it fails.

    :param interrupted: what to say when somebody presses Ctrl-C
    """
    status = 0

    async def main() -> None:
        await command()

    try:
        anyio.run(main)
    except* _TOLD as group:
        status = FAILED
        for error in dict.fromkeys(map(_explained, leaves(group))):
            typer.echo(error, err=True)
    except* KeyboardInterrupt:
        status = INTERRUPTED
        typer.echo(f"interrupted{interrupted and '; '}{interrupted}", err=True)
    if status:
        raise typer.Exit(status)


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in groups, and in groups of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def _explained(error: BaseException) -> str:
    text = " ".join(printable(describe(error)).split())
    if isinstance(error, SignalingRejected) and error.code in TOKEN_CODES:
        text += "; give one that is good here by --token"
    elif isinstance(error, SignalingError) and not isinstance(error, PeerUnreachable):
        # A cure that is a question needs no other mark after it.
        text += " Check" if text.endswith("?") else "; check"
        text += " --signaling, and see what `webrtc-transport doctor` tells"
    return f"error: {text}"
