"""Servers that are joined in virtual time, by a backplane that loses what a test tells it to."""

import itertools
from collections import deque

from tests.webrtc_signaling.samples import SESSION, envelope_of, routed_signal
from webrtc_signaling.messages import Numbered, Register
from webrtc_signaling.server.backplane import Backplane, Location
from webrtc_signaling.server.frames import pack, unpack
from webrtc_signaling.server.hub import Hub
from webrtc_signaling.server.neighbours import Neighbours
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.server.signals import RoutedSignal

GRACE = 30.0
TICK = 0.25


class Client:
    """A client that takes what it gets, and drops what it has, as the sessions of real ones do."""

    def __init__(self, peer, instance=None):
        self.peer, self.instance = peer, instance or f"instance-of-{peer}"[:64]
        self.node = self.registration = self.farewell = None
        self.received = None
        self.got, self.seen = [], set()
        self.sent = 0
        self.takes = True

    def wake(self):
        pass

    def close(self, farewell):
        self.farewell = farewell.data.code

    def drop(self):
        self.node = None

    def connect(self, node, *, proven=True):
        self.node = node
        message = Register(peer=self.peer, instance=self.instance, received=self.received)
        self.registration, reply = node.hub.register(message, self, node.cluster.now, proven=proven)
        if not reply.resumed:
            self.sent, self.received = 0, 0
        return reply

    def disconnect(self, *, leaving=False):
        node, self.node = self.node, None
        node.hub.disconnected(self.registration, self, node.cluster.now, leaving=leaving)

    def send(self, signal, to, *, index=0, session=SESSION):
        message = routed_signal(signal, sender=self.peer, recipient=to.peer, session=session, index=index)
        self.sent += 1
        self.node.hub.receive(self.registration, Numbered(message, self.sent, 0), self.node.cluster.now)

    def take(self):
        """Read the connection."""
        if self.node is None or not self.takes:
            return
        channel = self.registration.channel
        for item in channel.transmit(self.node.cluster.now):
            if isinstance(item, Numbered):
                self.received = item.seq
                self._take(item.message)
        channel.acknowledge(self.received or 0)

    def _take(self, message):
        if not isinstance(message, RoutedSignal):
            self.got.append(message.data.code)
            return
        envelope = envelope_of(message)
        key = (envelope.sender, envelope.session, envelope.index)
        if key not in self.seen:
            self.seen.add(key)
            self.got.append(envelope.signal)

    @property
    def settled(self):
        """How many of the messages that it has sent are acknowledged."""
        return self.registration.channel.settled


class Node(Backplane):
    """A server, and its end of the backplane."""

    def __init__(self, cluster, name, **settings):
        self.cluster, self.server = cluster, name
        self.ready = True
        self.hub = Hub(ServerSettings(**{"grace": GRACE, **settings}))
        self.neighbours = Neighbours(self.hub, self, lambda: cluster.now)

    def joined(self, events):
        raise AssertionError("nobody waits in virtual time")

    def is_ready(self):
        return self.ready

    def claim(self, peer, instance, *, proven, stamp):
        self._ask(self._claim, peer, instance, proven, stamp)

    def _claim(self, peer, instance, proven, stamp):
        cluster, present = self.cluster, self.cluster.directory.get(peer)
        if present is not None and present.server != self.server:
            is_later = stamp is not None and present.stamp > stamp
            if is_later or (present.proven and not proven and present.server in cluster.nodes):
                self.neighbours.on_location(peer, present)
                return
        entry = Location(self.server, instance, proven, next(cluster.stamps) if stamp is None else stamp)
        cluster.directory[peer] = entry
        self.neighbours.on_claimed(peer, entry.stamp)
        if entry != present:
            for node in list(cluster.nodes.values()):
                if node.ready:
                    cluster.later(node, node.neighbours.on_location, peer, entry)

    def release(self, peer):
        self._ask(self._release, peer)

    def _release(self, peer):
        present = self.cluster.directory.get(peer)
        if present is not None and present.server == self.server:
            del self.cluster.directory[peer]

    def locate(self, peer):
        self._ask(self._locate, peer)

    def _locate(self, peer):
        entry = self.cluster.directory.get(peer)
        is_alive = entry is not None and entry.server in self.cluster.nodes
        self.neighbours.on_located(peer, entry, is_alive=is_alive)

    def send(self, server, frame):
        self._ask(self._send, server, frame)

    def send_from(self, server, outflow):
        self._ask(self._send_from, server, outflow)

    def _send_from(self, server, outflow):
        for frame in outflow.frames():
            self._send(server, frame)

    def _send(self, server, frame):
        target = self.cluster.nodes.get(server)
        if target is None:
            self.neighbours.on_server_gone(server)
        elif not self.cluster.loses(frame):
            [entry] = pack([frame])
            for unpacked in unpack(entry):
                self.cluster.later(target, target.neighbours.on_frame, self.server, unpacked)

    def _ask(self, *call):
        if self.ready:
            self.cluster.later(self, *call)


class VirtualCluster:
    """Servers, and what joins them."""

    def __init__(self):
        self.now = 0.0
        self.nodes, self.directory = {}, {}
        self.stamps = itertools.count(1)
        self.clients = []
        self.loses = lambda frame: False
        self._calls = deque()

    def node(self, name, **settings):
        node = self.nodes[name] = Node(self, name, **settings)
        return node

    def client(self, peer, node, **options):
        client = Client(peer, **options)
        client.connect(node)
        self.clients.append(client)
        self.settle()
        return client

    def later(self, node, *call):
        self._calls.append((node, call))

    def kill(self, node):
        """The server is gone, and with it the connections of its clients."""
        del self.nodes[node.server]
        for client in self.clients:
            if client.node is node:
                client.node = None

    def part(self, node):
        """The server doesn't reach the backplane any more."""
        node.ready = False

    def join(self, node):
        """It does again."""
        node.ready = True
        node.neighbours.on_restored()

    def forget(self):
        """The backplane has lost its memory."""
        self.directory.clear()
        self._calls.clear()
        for node in self.nodes.values():
            node.neighbours.on_restored()

    def settle(self):
        """Let everything happen that needs no time."""
        while True:
            for client in self.clients:
                client.take()
            if not self._calls:
                return
            node, (func, *arguments) = self._calls.popleft()
            if self.nodes.get(node.server) is node and node.ready:
                func(*arguments)

    def run(self, seconds):
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.settle()
            self.now += TICK
            for node in list(self.nodes.values()):
                node.hub.expire(self.now)
                node.neighbours.tick()
                for server in node.neighbours.watched():
                    if server not in self.nodes and node.ready:
                        node.neighbours.on_server_gone(server)
        self.settle()
