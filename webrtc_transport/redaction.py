"""URLs without their secrets, for errors and logs."""

from __future__ import annotations

import re
from typing import Final

_LEFT_OUT: Final = "…"

_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)?(?P<place>[^?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)


def redacted(url: str) -> str:
    """``url`` as it may be shown: without user name, password, query and fragment (RFC 3986, section 7.5).

    What is left out leaves a ``…`` in its place. Text that is no URL is treated likewise, for it may have been meant to
    be one.
    """
    parts = _URL.fullmatch(url)
    assert parts is not None, "it matches any text"
    scheme, place, rest = parts["scheme"] or "", parts["place"], parts["rest"]
    if "@" in rest:
        # A password may have a ? or a # in it, which it shouldn't: then its beginning looks like the host.
        return f"{scheme}{_LEFT_OUT}"
    _, at, host = place.rpartition("@")
    return f"{scheme}{at and _LEFT_OUT}{at}{host}{rest and rest[0] + _LEFT_OUT}"
