import errno
import os
import socket

import pytest

from webrtc_signaling.server.listening import listen_error


@pytest.mark.parametrize(
    ("error", "host", "message"),
    [
        (
            OSError(errno.EADDRINUSE, "error while attempting to bind on address"),
            "127.0.0.1",
            "can't listen on 127.0.0.1:80: address already in use; stop the program that listens there, or take "
            "another port (0 picks a free one)",
        ),
        (
            OSError(errno.EACCES, "Permission denied"),
            "::1",
            "can't listen on [::1]:80: permission denied; ports below 1024 are for the administrator: take another one",
        ),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "nosuch",
            "can't listen on nosuch:80: no such host; write a name or an address of this machine, such as 127.0.0.1",
        ),
        (OSError("out of cheese"), "localhost", "can't listen on localhost:80: out of cheese"),
    ],
)
def test_what_is_wrong_is_told_with_the_address(error, host, message):
    told = listen_error(error, host, 80)
    assert told.strerror == message
    assert told.errno == error.errno


def test_a_foreign_address():
    text = listen_error(OSError(errno.EADDRNOTAVAIL, ""), "192.0.2.7", 80).strerror
    assert text.startswith(f"can't listen on 192.0.2.7:80: {os.strerror(errno.EADDRNOTAVAIL).lower()}; ")
    assert "no address of this machine" in text
