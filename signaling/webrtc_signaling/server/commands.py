"""The subcommands of ``webrtc-signaling``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from typer.models import OptionInfo

from webrtc_transport.protocol.signals import describe_validation_error

from .app import running_server
from .settings import LogLevel, ServerSettings

_FLAGS: Final = ("host", "port", "insecure", "grace", "log_level")
"""The settings that are flags. The others are for few, and for the environment."""

_DEFAULTS: Final = ServerSettings.model_construct()


def _variable(name: str) -> str:
    return f"{ServerSettings.model_config.get('env_prefix', '')}{name}".upper()


def _option(name: str) -> OptionInfo:
    field = ServerSettings.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    option: OptionInfo = typer.Option(flag, help=field.description, envvar=_variable(name))
    return option


def _epilog() -> str:
    others = [
        f"{_variable(name)} ({field.default}): {' '.join((field.description or '').split())}"
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


@app.callback()
def _webrtc_signaling() -> None:
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
    flags = {"host": host, "port": port, "insecure": insecure, "grace": grace, "log_level": log_level}
    try:
        settings = ServerSettings.model_validate(flags)
    except ValidationError as exc:
        raise typer.BadParameter(describe_validation_error(exc)) from None
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(_run(settings))
    except OSError as exc:
        typer.echo(f"can't listen: {exc.strerror or exc}", err=True)
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
