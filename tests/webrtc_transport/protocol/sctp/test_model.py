"""Whatever a link does, the bytes are right, or the association ends with a reason within its bound."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.links import Pair, Path
from webrtc_transport.protocol.sctp.settings import AssociationSettings

STREAMS = st.integers(0, 3)
WHICH = st.integers(0, 1)


class TwoAssociations(RuleBasedStateMachine):
    """Two associations against a model of reliable, ordered streams that have several lives."""

    @initialize(
        seed=st.integers(0, 2**32),
        both=st.booleans(),
        window=st.sampled_from([64, 128, 1024]),
        loss=st.sampled_from([0.0, 0.0, 0.05, 0.2]),
        jitter=st.sampled_from([0.0, 0.0, 0.02]),
        duplication=st.sampled_from([0.0, 0.2]),
        corruption=st.sampled_from([0.0, 0.05]),
        tsn=st.sampled_from([None, 0, 2**31 - 5, 2**32 - 5]),
    )
    def begin(self, *, seed, both, window, loss, jitter, duplication, corruption, tsn):
        def path():
            return Path(loss=loss, jitter=jitter, duplication=duplication, corruption=corruption)

        config = AssociationSettings(window=window * 1024, max_message_size=32 * 1024)
        self.pair = Pair(path(), path(), seed=seed, settings=(config, config))
        if tsn is not None:
            for end in self.pair.ends:
                end.association = type(end.association)(config, random=self._randoms(tsn))
        self.pair.a.association.connect(0.0)
        if both:
            self.pair.b.association.connect(0.0)
        self.sent = ({}, {})
        """By end and stream: the lives of the stream, each a list of messages."""

    def _randoms(self, tsn):
        values = iter([tsn.to_bytes(4)])
        return lambda size: next(values, None) or self.pair.rng.randbytes(size)

    def lives(self, which, stream_id):
        return self.sent[which].setdefault(stream_id, [[]])

    @rule(
        which=WHICH,
        stream_id=STREAMS,
        size=st.sampled_from([1, 50, 1132, 5000, 32768]),
        count=st.integers(1, 5),
    )
    def send(self, which, stream_id, size, count):
        if self.pair.ends[which].association.is_ended:
            return
        for _ in range(count):
            message = self.pair.rng.randbytes(size)
            self.pair.ends[which].association.send(stream_id, 53, message)
            self.lives(which, stream_id)[-1].append(message)

    @rule(which=WHICH, stream_id=STREAMS)
    def reset(self, which, stream_id):
        end = self.pair.ends[which]
        lives = self.lives(which, stream_id)
        # An owner asks once per life, and that of a stream begins when the end of the last is confirmed; which takes
        # for ever while nobody reads.
        is_next = len(lives) - 1 == end.confirmed.count(stream_id)
        if is_next and not end.association.is_ended and all(end.reads for end in self.pair.ends):
            end.association.reset_stream(stream_id)
            lives.append([])
            self.pair.run(
                lambda: (
                    any(e.ended is not None for e in self.pair.ends)
                    or end.confirmed.count(stream_id) == len(lives) - 1
                ),
                limit=200.0,
            )

    @rule(duration=st.sampled_from([0.001, 0.02, 0.5, 5.0]))
    def wait(self, duration):
        self.pair.run_for(duration)

    @rule(which=WHICH, duration=st.sampled_from([0.1, 2.0, 12.0]))
    def black_out(self, which, duration):
        self.pair.ends[which].path.blackouts.append((self.pair.now, self.pair.now + duration))

    @rule(which=WHICH)
    def pause_reading(self, which):
        self.pair.ends[which].reads = False

    @rule(which=WHICH)
    def read(self, which):
        end = self.pair.ends[which]
        end.reads = True
        if end.unread:
            end.read_all(self.pair.now)

    @invariant()
    def what_came_is_what_was_sent(self):
        if not hasattr(self, "pair"):
            return
        for which, end in enumerate(self.pair.ends):
            sent = self.sent[1 - which]
            for stream_id in end.received.keys() | end.finished.keys():
                lives = [*end.finished.get(stream_id, []), end.received.get(stream_id, [])]
                for number, life in enumerate(lives):
                    expected = sent[stream_id][number] if number < len(sent[stream_id]) else []
                    assert life == expected[: len(life)]
                    assert number == len(lives) - 1 or life == expected

    def teardown(self):
        if not hasattr(self, "pair"):
            return
        pair = self.pair
        for end in pair.ends:
            end.reads = True
            if end.unread:
                end.read_all(pair.now)

        def is_over():
            if any(end.ended is not None for end in pair.ends):
                return True
            return all(
                end.received.get(stream_id, []) == lives[-1]
                for which, end in enumerate(pair.ends)
                for stream_id, lives in self.sent[1 - which].items()
            )

        pair.run(is_over, limit=300.0)
        for end in pair.ends:
            assert end.ended is None or end.ended.reason
        self.what_came_is_what_was_sent()


TestModel = TwoAssociations.TestCase
TestModel.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
