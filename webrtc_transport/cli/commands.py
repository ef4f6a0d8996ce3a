"""The subcommands of ``webrtc-transport``."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import IdentityError
from .doctor.examination import Setup, examine
from .doctor.report import as_json, is_healthy, show
from .failures import FAILED, run
from .ice_options import (
    BIND,
    RELAY,
    SIGNALING,
    STUN,
    TOKEN,
    TURN,
    TURN_PASSWORD,
    TURN_USER,
    option,
    signaling_url,
    stun_server,
    transport_config,
    turn_servers,
)
from .transfer.display import Display
from .transfer.people import Reception, Sending, peer_id, receive_file, send_file
from .transfer.receiving import Destination

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="WebRTC between peers: look over a set-up, and send files.",
)

_DEBUG = typer.Option("--debug", help="Log everything to standard error.")
_IDENTITY = typer.Option(
    "--identity", help="A file with the key of this peer; made if it isn't there.", metavar="FILE"
)


def _set_up_log(debug: bool) -> None:
    # What matters of it is told in other words.
    logging.basicConfig(level=logging.DEBUG if debug else logging.CRITICAL)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"webrtc-transport {version('webrtc-transport')}")
        raise typer.Exit


@app.callback()
def _webrtc_transport(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def doctor(
    *,
    signaling: Annotated[str | None, SIGNALING] = None,
    token: Annotated[str | None, TOKEN] = None,
    stun: Annotated[list[str] | None, STUN] = None,
    turn: Annotated[list[str] | None, TURN] = None,
    turn_user: Annotated[str | None, TURN_USER] = None,
    turn_password: Annotated[str | None, TURN_PASSWORD] = None,
    bind: Annotated[str | None, BIND] = None,
    timeout: Annotated[
        float,
        # A longer word would leave no room for the variables' names in 80 columns.
        typer.Option(
            "--timeout", help="Seconds for each check; all run at once.", min=0.1, max=60, metavar="SEC"
        ),
    ] = 5.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    debug: Annotated[bool, _DEBUG] = False,
) -> None:
    """Check versions, signaling, the clock, STUN, the NAT, TURN and UDP, and say what helps.

    It ends with status 1 if something has failed.
    """
    _set_up_log(debug)
    server = None if signaling is None else signaling_url(signaling, token)
    checked = transport_config(
        stun=stun or [], turn=turn or [], user=turn_user, password=turn_password, bind=bind, relay=False
    )
    setup = Setup(
        signaling=server,
        stun=stun_server(stun or []),
        turn=turn_servers(turn or [], turn_user, turn_password),
        bind=checked.bind_addresses[0] if checked.bind_addresses else None,
        timeout=timeout,
    )
    healthy = False

    async def command() -> None:
        nonlocal healthy
        findings = await examine(setup)
        healthy = is_healthy(findings)
        if json:
            typer.echo(as_json(findings))
        else:
            show(findings, Console())

    run(command, interrupted="")
    if not healthy:
        raise typer.Exit(FAILED)


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="The file to send.", metavar="FILE")],
    to: Annotated[
        str,
        typer.Argument(
            help="The code that `receive` shows on the other machine, or its peer id.", metavar="TO"
        ),
    ],
    *,
    signaling: Annotated[str, SIGNALING],
    token: Annotated[str | None, TOKEN] = None,
    identity: Annotated[Path | None, _IDENTITY] = None,
    retry: Annotated[
        float,
        option(
            "--retry",
            "Seconds to look for a peer that was lost on the way, before giving up.",
            metavar="SECONDS",
            minimum=0,
        ),
    ] = 60.0,
    stun: Annotated[list[str] | None, STUN] = None,
    turn: Annotated[list[str] | None, TURN] = None,
    turn_user: Annotated[str | None, TURN_USER] = None,
    turn_password: Annotated[str | None, TURN_PASSWORD] = None,
    bind: Annotated[str | None, BIND] = None,
    relay: Annotated[bool, RELAY] = False,
    debug: Annotated[bool, _DEBUG] = False,
) -> None:
    """Send a file to a machine that runs `webrtc-transport receive`."""
    _set_up_log(debug)
    server = signaling_url(signaling, token)
    config = transport_config(
        stun=stun or [], turn=turn or [], user=turn_user, password=turn_password, bind=bind, relay=relay
    )
    sending = Sending(file, to, server, config, identity, retry)
    run(
        lambda: send_file(sending, Display(Console(stderr=True))),
        interrupted="send it again, and it goes on where it stopped",
    )


def _check_peer_id(text: str) -> None:
    try:
        peer_id(text)
    except IdentityError as exc:
        raise typer.BadParameter(str(exc), param_hint="--from") from None


@app.command()
def receive(
    *,
    signaling: Annotated[str, SIGNALING],
    token: Annotated[str | None, TOKEN] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder for the file, or a name for it.", metavar="PATH"),
    ] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file of that name; else a number is added.")
    ] = False,
    identity: Annotated[Path | None, _IDENTITY] = None,
    sender: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="With --identity: take files of this peer; may be repeated.", metavar="PEER"
        ),
    ] = None,
    anyone: Annotated[
        bool, typer.Option("--anyone", help="With --identity: take a file of any peer.")
    ] = False,
    stun: Annotated[list[str] | None, STUN] = None,
    turn: Annotated[list[str] | None, TURN] = None,
    turn_user: Annotated[str | None, TURN_USER] = None,
    turn_password: Annotated[str | None, TURN_PASSWORD] = None,
    bind: Annotated[str | None, BIND] = None,
    relay: Annotated[bool, RELAY] = False,
    debug: Annotated[bool, _DEBUG] = False,
) -> None:
    """Receive one file, from whoever knows the code that is shown.

    With --identity there is no code: the sender gives this peer's id, and --from or --anyone says who may send.
    """
    _set_up_log(debug)
    if identity is not None and not (sender or anyone):
        raise typer.BadParameter("say who may send: --from PEER, or --anyone", param_hint="--identity")
    if identity is None and (sender or anyone):
        raise typer.BadParameter(
            "with a code, who knows it may send; add --identity FILE",
            param_hint="--from" if sender else "--anyone",
        )
    for text in sender or ():
        _check_peer_id(text)
    server = signaling_url(signaling, token)
    config = transport_config(
        stun=stun or [], turn=turn or [], user=turn_user, password=turn_password, bind=bind, relay=relay
    )
    folder, name = (output, None) if output.is_dir() else (output.parent, output.name)
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder; make it, or choose another", param_hint="--output")
    reception = Reception(
        Destination(folder, name, overwrite),
        server,
        config,
        identity,
        None if anyone else tuple(sender or ()),
    )
    new_code = " (with a new code)" if identity is None else ""
    run(
        lambda: receive_file(reception, Display(Console(stderr=True))),
        interrupted=(
            f"what has arrived, if anything, is kept as a .part file; receive it again{new_code}, and it goes on there"
        ),
    )
