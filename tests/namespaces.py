"""Network namespaces for tests: a network of their own, with a non-loopback address and a default route.

Browsers gather no candidates without both, and tests on the real network would depend on what else is there.
"""

import contextlib
import os
import secrets
import subprocess

from tests.requirements import require_program, require_root

ADDRESS = "10.77.0.1"
_PREFIX_LENGTH = 24
_GATEWAY = "10.77.0.2"


class Namespace:
    """A network namespace that exists. Programs run in it by :meth:`command`."""

    address = ADDRESS
    """The address of its one interface beside loopback."""

    def __init__(self, ip, name):
        self._ip = ip
        self.name = name

    def command(self, *arguments):
        """The command line that runs a program in the namespace."""
        return [self._ip, "netns", "exec", self.name, *map(str, arguments)]

    def ip(self, *arguments):
        """Run ``ip`` in the namespace."""
        _run(self._ip, "-netns", self.name, *arguments)

    @contextlib.contextmanager
    def udp_blocked(self):
        """Drop the UDP packets to :attr:`address` meanwhile, without a word to who sends them."""
        rule = ("pref", "5", "ipproto", "udp", "to", ADDRESS, "blackhole")
        # The rule for local addresses is the first, at 0, and has to make room.
        self.ip("rule", "add", "pref", "10", "lookup", "local")
        self.ip("rule", "add", *rule)
        self.ip("rule", "delete", "pref", "0")
        try:
            yield
        finally:
            self.ip("rule", "add", "pref", "0", "lookup", "local")
            self.ip("rule", "delete", *rule)
            self.ip("rule", "delete", "pref", "10")


@contextlib.contextmanager
def network_namespace():
    """A new namespace. Whatever runs in it must have ended before the context does."""
    require_root()
    ip = require_program("ip")
    name = f"webrtc-{os.getpid()}-{secrets.token_hex(4)}"
    _run(ip, "netns", "add", name)
    try:
        namespace = Namespace(ip, name)
        namespace.ip("link", "set", "lo", "up")
        namespace.ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
        namespace.ip("address", "add", f"{ADDRESS}/{_PREFIX_LENGTH}", "dev", "veth0")
        for interface in ("veth0", "veth1"):
            # An IPv6 address that comes up seconds later would be a change of network to browsers.
            namespace.ip("link", "set", interface, "addrgenmode", "none")
            namespace.ip("link", "set", interface, "up")
        namespace.ip("route", "add", "default", "via", _GATEWAY)
        yield namespace
    finally:
        _run(ip, "netns", "delete", name)


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
