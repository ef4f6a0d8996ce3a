"""Name resolution on a daemon thread.

The event loop's own ``getaddrinfo`` uses the default executor, whose threads are joined when the loop and the
interpreter end: with a dead DNS server that holds the shutdown up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading


async def resolve(host: str, port: int, *, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
    """Look up the addresses of ``host``.

    :return: pairs of address family and IP address, in the system's order of preference
    :raises OSError: if the name can't be resolved
    """
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        literal = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version
        return [(literal, host)]

    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[tuple[int, str]]] = loop.create_future()

    def finish(result: list[tuple[int, str]] | OSError) -> None:
        if future.done():
            return
        if isinstance(result, OSError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def look_up() -> None:
        result: list[tuple[int, str]] | OSError
        try:
            found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
            result = [(int(entry[0]), str(entry[4][0])) for entry in found]
        except OSError as exc:
            result = exc
        except UnicodeError as exc:
            result = OSError(f"{host!r} is no host name: {exc}")
        # The loop may have ended while DNS was dead; nobody waits for the answer then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, result)

    threading.Thread(target=look_up, name="webrtc-resolver", daemon=True).start()
    return await future
