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

from .app import SERVICE, create_app, running_app
from .health_command import health
from .journal import Event
from .logs import Log
from .options import parameters, settings_of
from .settings import ServerSettings, variable
from .token_command import token

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

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
    log = Log()
    try:
        settings = settings_of(options)
    except ConfigurationError as exc:
        log.begin()
        for fault in str(exc).splitlines():
            typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(_WRONG_USAGE) from None
    log.begin(settings.log_format, settings.log_level)
    try:
        asyncio.run(_run(settings))
    except ConfigurationError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(_WRONG_USAGE) from None
    except OSError as exc:
        typer.echo(exc.strerror or str(exc), err=True)
        raise typer.Exit(1) from None


app.command("token")(token)
app.command("health")(health)


async def _run(settings: ServerSettings) -> None:
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for signum in (signal.SIGINT, signal.SIGTERM):
        # Elsewhere than on Unix, asyncio.run() cancels this on an interrupt.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signum, signals.put_nowait, signum)
    application = create_app(settings)
    async with running_app(application, settings) as url:
        typer.echo(f"listening on {url}")
        typer.echo(f"demo page: http{url.removeprefix('ws')}")
        _logger.info(Event("listening", url=url))
        signum = await signals.get()
        application[SERVICE].readiness.end()
        # Who presses Ctrl-C doesn't stand behind a load balancer, and who sends a second signal is in a hurry.
        drain = settings.drain if signum is signal.SIGTERM else 0
        _logger.info(Event("shutting down", signal=signum.name, drain=drain))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await signals.get()
