"""Records of an established DTLS connection: encrypted and decrypted by OpenSSL, on the shortest way to it.

pyOpenSSL's public methods make a buffer, a context manager and several checks of each call, which takes longer than
OpenSSL itself. :class:`DirectRecords` makes the same calls into the same library by pyOpenSSL's own bindings, which
have private names. Where a release renames one of :data:`PRIVATE_NAMES`, :class:`PublicRecords` does it all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from OpenSSL import SSL

PRIVATE_NAMES: Final = ("_ssl", "_into_ssl", "_from_ssl", "_raise_ssl_error")
"""What of ``SSL.Connection`` is used although its name starts with an underscore; and ``lib`` and ``ffi`` of
``OpenSSL._util``."""

BUFFER: Final = 4096
"""Bytes of a record that is read directly: what a UDP port gives at most."""

MAX_RECORD: Final = 2**14
"""Bytes of a record's content (RFC 6347, section 4.1)."""

MARGIN: Final = 256
"""Bytes by which a record is longer than its content at most: more than any cipher adds."""


class Records(ABC):
    """Encrypts and decrypts for one connection. Raises what pyOpenSSL raises."""

    @abstractmethod
    def encrypt(self, content: bytes) -> bytes:
        """The record of ``content``."""

    @abstractmethod
    def decrypt(self, record: bytes) -> bytes:
        """Take a record that has arrived; returns its content.

        :raises OpenSSL.SSL.WantReadError: if it has none, or is dropped
        """


class PublicRecords(Records):
    """By pyOpenSSL's public methods."""

    def __init__(self, ssl: SSL.Connection) -> None:
        self._ssl = ssl

    def encrypt(self, content: bytes) -> bytes:
        self._ssl.send(content)
        return self._ssl.bio_read(len(content) + MARGIN)

    def decrypt(self, record: bytes) -> bytes:
        self._ssl.bio_write(record)
        return self._ssl.recv(MAX_RECORD)


class DirectRecords(Records):
    """By the functions that those methods call.

    :raises AttributeError: if a private name is gone
    :raises ImportError: if their module is
    """

    def __init__(self, ssl: SSL.Connection) -> None:
        from OpenSSL import _util  # noqa: PLC0415 - a release without it has the fallback

        # cffi's objects have no types.
        lib: Any = _util.lib
        ffi: Any = _util.ffi
        self._ssl, self._into, self._from, self._raise_error = (getattr(ssl, name) for name in PRIVATE_NAMES)
        self._ssl_write, self._ssl_read = lib.SSL_write, lib.SSL_read
        self._bio_write, self._bio_read = lib.BIO_write, lib.BIO_read
        # One per connection, because OpenSSL runs without the GIL and connections may be in different threads.
        self._buffer = ffi.new("char[]", BUFFER)
        self._view = ffi.buffer(self._buffer)
        self._public = PublicRecords(ssl)

    def encrypt(self, content: bytes) -> bytes:
        if len(content) > BUFFER - MARGIN:
            return self._public.encrypt(content)
        written = self._ssl_write(self._ssl, content, len(content))
        if written <= 0:
            self._raise_error(self._ssl, written)
        size = self._bio_read(self._from, self._buffer, BUFFER)
        if size <= 0:
            raise SSL.Error
        return self._view[:size]  # type: ignore[no-any-return]

    def decrypt(self, record: bytes) -> bytes:
        self._bio_write(self._into, record, len(record))
        size = self._ssl_read(self._ssl, self._buffer, BUFFER)
        if size <= 0:
            self._raise_error(self._ssl, size)
        return self._view[:size]  # type: ignore[no-any-return]


def records_of(ssl: SSL.Connection) -> Records:
    """The fastest that this pyOpenSSL has."""
    try:
        return DirectRecords(ssl)
    except (AttributeError, ImportError):
        return PublicRecords(ssl)
