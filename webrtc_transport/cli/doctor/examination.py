"""All checks, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ...config import IceServer
from .clock import CHECK as CLOCK
from .clock import check_clock
from .findings import Finding, Outcome, bounded
from .signaling import CHECK as SIGNALING
from .signaling import check_signaling
from .stun import CHECK as STUN
from .stun import check_stun
from .turn import check_turn
from .versions import check_versions

_MARGIN = 1.0
"""Seconds on top, for checks that bound their own parts and tell more of them."""


@dataclass(frozen=True)
class Setup:
    """What is looked at."""

    signaling: str | None
    stun: IceServer | None
    turn: Sequence[IceServer]
    bind: str | None = None
    timeout: float = 5.0
    """Seconds for each check."""


async def examine(setup: Setup) -> list[Finding]:
    """Run all checks at once, and draw conclusions."""
    timeout = setup.timeout
    stun_urls = () if setup.stun is None else setup.stun.parsed
    versions, signaling, clock, stun, turn = await asyncio.gather(
        bounded("versions", 10 * timeout, "", lambda: asyncio.to_thread(check_versions)),
        _signaling(setup),
        _clock(setup),
        bounded(STUN, timeout + _MARGIN, "", lambda: check_stun(stun_urls, timeout, setup.bind)),
        bounded("TURN", timeout + _MARGIN, "", lambda: check_turn(setup.turn, timeout)),
    )
    findings = [*versions, *signaling, *clock, *stun, *turn]
    return [*findings, udp_verdict(findings)]


async def _signaling(setup: Setup) -> list[Finding]:
    url = setup.signaling
    if url is None:
        cure = "name one: --signaling wss://host (webrtc-direct needs none)"
        return [Finding(SIGNALING, Outcome.SKIPPED, "no signaling server is named", cure)]
    cure = "check the URL; does a firewall swallow the packets?"
    return await bounded(SIGNALING, setup.timeout, cure, lambda: check_signaling(url))


async def _clock(setup: Setup) -> list[Finding]:
    url = setup.signaling
    if url is None:
        return []
    found = await bounded(CLOCK, setup.timeout, "", lambda: check_clock(url))
    # That the server is silent is told by the check of the signaling.
    return [one for one in found if one.outcome is not Outcome.FAILED or one.details]


def udp_verdict(findings: Sequence[Finding]) -> Finding:
    """Whether UDP gets out, by what became of everything that went over it."""
    check = "UDP"
    by_udp = [
        one for one in findings if one.check in (STUN, "TURN over UDP") and one.outcome != Outcome.SKIPPED
    ]
    # A refusal has come over it, too.
    if any(one.outcome is Outcome.OK or "code" in one.details for one in by_udp):
        return Finding(check, Outcome.OK, "not blocked")
    if not by_udp:
        cure = "name a STUN or TURN server: --stun, --turn"
        return Finding(check, Outcome.SKIPPED, "there is no server to try it with", cure)
    others = ("TURN over TCP", "TURN over TLS", SIGNALING)
    if any(one.outcome is Outcome.OK for one in findings if one.check in others):
        text = "blocked, it seems: no server answers over UDP, and the network works over TCP"
        cure = "open UDP in the firewall, or use a TURN server over TLS: --turn turns:host:443"
        return Finding(check, Outcome.FAILED, text, cure)
    text = "no server answers, over UDP or otherwise"
    return Finding(
        check, Outcome.FAILED, text, "is this machine on the network? Then check the servers' names"
    )
