"""The subcommands of ``webrtc-signaling``."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Final

import typer

from webrtc_transport.errors import ConfigurationError

from .app import running_server
from .options import parameters, settings_of
from .settings import ServerSettings, variable

_WRONG_USAGE: Final = 2
"""The exit status of shells and typer for wrong options."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The rendezvous server of webrtc-transport.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"webrtc-transport {version('webrtc-transport')}")
        raise typer.Exit


@app.callback()
def _webrtc_signaling(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    # Without it, typer takes a lone subcommand for the command itself.
    pass


_HELP: Final = f"""Let peers find each other, until interrupted.

Each option is an environment variable, too, {variable("port")} for --port, and \
a key in the TOML file that --config names: port = 8765. An option wins over its variable, and a variable over the file.
"""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each setting."""
    command.__signature__ = inspect.Signature(parameters())  # type: ignore[attr-defined]
    return command


@app.command(help=_HELP)
@_with_settings
def serve(**options: object) -> None:
    """Run the server."""
    # First, because the settings may have something to warn of.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = settings_of(options)
    except ConfigurationError as exc:
        for fault in str(exc).splitlines():
            typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(_WRONG_USAGE) from None
    logging.getLogger().setLevel(settings.log_level.upper())
    try:
        asyncio.run(_run(settings))
    except OSError as exc:
        typer.echo(exc.strerror or str(exc), err=True)
        raise typer.Exit(1) from None


async def _run(settings: ServerSettings) -> None:
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        # Elsewhere than on Unix, asyncio.run() cancels this on an interrupt.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    async with running_server(settings) as url:
        typer.echo(f"listening on {url}")
        typer.echo(f"demo page: http{url.removeprefix('ws')}")
        await stopped.wait()
