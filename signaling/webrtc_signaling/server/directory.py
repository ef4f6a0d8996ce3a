"""The directory of who is where, in Redis: what is asked of it, and what it answers. Sans-IO.

An entry is the text ``<stamp>|<proven>|<server>|<instance>``: microseconds on the clock of Redis, ``1`` or ``0``, and
two tokens. Whoever can write to Redis may have made one, so what it answers is checked.
"""

from __future__ import annotations

import re
from typing import Final

from webrtc_transport.errors import InvalidSignal

from ..limits import MAX_PEER_ID_LENGTH
from .backplane import Location

_ENTRY: Final = re.compile(
    rb"(?P<stamp>[0-9]{1,16})\|(?P<proven>[01])\|(?P<server>[\w-]{16,64})\|(?P<instance>[\w-]{16,64})"
)
_MOVE: Final = re.compile(rb"(?P<peer>[1-9A-HJ-NP-Za-km-z]{1,%d})\|(?P<entry>.{1,200})" % MAX_PEER_ID_LENGTH)

CLAIM: Final = """
local server, instance, proven, stamp = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local present = redis.call('GET', KEYS[1])
if present then
  local since, is_proven, owner = string.match(present, '^(%d+)|([01])|([%w_-]+)|')
  if owner and owner ~= server then
    if stamp ~= '' and tonumber(since) > tonumber(stamp) then return present end
    if is_proven == '1' and proven == '0' and redis.call('EXISTS', ARGV[8] .. owner) == 1 then
      return present
    end
  end
end
if stamp == '' then
  local now = redis.call('TIME')
  stamp = string.format('%d%06d', now[1], now[2])
end
local entry = stamp .. '|' .. proven .. '|' .. server .. '|' .. instance
redis.call('SET', KEYS[1], entry, 'PX', ARGV[5])
if entry ~= present then redis.call('PUBLISH', ARGV[6], ARGV[7] .. '|' .. entry) end
return entry
"""
"""Make an entry, and tell everybody, unless there is another that counts more; returns the one that is there then.

Key: the entry. Arguments: server, instance, proven, the stamp of an earlier claim or ``""``, milliseconds until it
expires, the channel, the peer, the prefix of inboxes. Done by Redis at a stroke, so of two claims one is the later."""

RELEASE: Final = """
local present = redis.call('GET', KEYS[1])
if present and string.match(present, '^%d+|[01]|([%w_-]+)|') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
"""Delete the entry (key), if it is that of the server (argument)."""

LOCATE: Final = """
local present = redis.call('GET', KEYS[1])
if not present then return false end
local owner = string.match(present, '^%d+|[01]|([%w_-]+)|')
return {present, owner and redis.call('EXISTS', ARGV[1] .. owner) or 0}
"""
"""The entry (key), and whether there is an inbox of its server; the argument is the prefix of inboxes."""


def parse_location(entry: object) -> Location:
    """An entry, from its text.

    :raises InvalidSignal: if it isn't one
    """
    parts = _ENTRY.fullmatch(entry) if isinstance(entry, bytes) else None
    if parts is None:
        raise InvalidSignal("an entry of the directory is malformed")
    return Location(
        server=parts["server"].decode(),
        instance=parts["instance"].decode(),
        proven=parts["proven"] == b"1",
        stamp=int(parts["stamp"]),
    )


def parse_located(answer: object) -> tuple[Location | None, bool]:
    """The answer to ``LOCATE``: where, and whether that server is there.

    :raises InvalidSignal: if it isn't one
    """
    match answer:
        case None:
            return None, False
        case [entry, int(is_alive)]:
            return parse_location(entry), bool(is_alive)
        case _:
            raise InvalidSignal("an answer of the directory is malformed")


def parse_move(message: object) -> tuple[str, Location]:
    """What ``CLAIM`` tells everybody: who, and where.

    :raises InvalidSignal: if it isn't that
    """
    parts = _MOVE.fullmatch(message) if isinstance(message, bytes) else None
    if parts is None:
        raise InvalidSignal("a message on the channel is malformed")
    return parts["peer"].decode(), parse_location(parts["entry"])
