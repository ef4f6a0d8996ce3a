"""The subcommands of ``webrtc-signaling``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from importlib.metadata import version
from typing import Annotated, Final

import typer
from typer.models import OptionInfo

from webrtc_transport.errors import ConfigurationError

from .app import running_server
from .settings import LogLevel, ServerSettings, variable
from .token_command import token

_FLAGS: Final = ("host", "port", "insecure", "grace", "log_level")
"""The settings that are flags. The others are for few, and for the environment."""

_BOUNDS: Final = (("min", "ge"), ("max", "le"))
"""What typer calls the bounds of a number, and what pydantic does."""

_DEFAULTS: Final = ServerSettings.model_construct()


def _option(name: str) -> OptionInfo:
    field = ServerSettings.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    bounds = {
        word: getattr(rule, key) for rule in field.metadata for word, key in _BOUNDS if hasattr(rule, key)
    }
    option: OptionInfo = typer.Option(flag, help=field.description, envvar=variable(name), **bounds)
    return option


def _epilog() -> str:
    others = [
        f"{variable(name)} ({field.default}): {' '.join((field.description or '').split())}"
        for name, field in ServerSettings.model_fields.items()
        if name not in _FLAGS
    ]
    return "\n\n".join(["Further settings are environment variables:", *others])


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


@app.command(epilog=_epilog())
def serve(
    host: Annotated[str, _option("host")] = _DEFAULTS.host,
    port: Annotated[int, _option("port")] = _DEFAULTS.port,
    insecure: Annotated[bool, _option("insecure")] = _DEFAULTS.insecure,
    grace: Annotated[float, _option("grace")] = _DEFAULTS.grace,
    log_level: Annotated[LogLevel, _option("log_level")] = _DEFAULTS.log_level,
) -> None:
    """Let peers find each other, until interrupted."""
    # First, because the settings may have something to warn of.
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = ServerSettings(host=host, port=port, insecure=insecure, grace=grace, log_level=log_level)
    except ConfigurationError as exc:
        raise typer.BadParameter(str(exc)) from None
    try:
        asyncio.run(_run(settings))
    except ConfigurationError as exc:
        raise typer.BadParameter(str(exc)) from None
    except OSError as exc:
        typer.echo(exc.strerror or str(exc), err=True)
        raise typer.Exit(1) from None


app.command("token")(token)


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
