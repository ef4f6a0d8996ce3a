from webrtc_transport.protocol.sctp.repeater import Repeater


def test_it_repeats_with_pauses_that_stay_short():
    repeater = Repeater()
    assert repeater.start(b"x", 7, 0.0) == b"x"
    pauses, now = [], 0.0
    while not repeater.is_exhausted:
        pauses.append(repeater.timer - now)
        now = repeater.timer
        assert repeater.handle_timer(now - 0.01) is None
        sent = repeater.handle_timer(now)
        assert (sent is None) == repeater.is_exhausted
    assert pauses == [0.5, 1, 1, 1, 1, 1, 1]


def test_an_answer_ends_it():
    repeater = Repeater()
    repeater.start(b"x", 3, 0.0)
    repeater.stop()
    assert repeater.timer is None
    repeater.restart(b"y", 1.0)
    assert repeater.handle_timer(99.0) is None


def test_a_peer_that_is_busy_is_given_time():
    repeater = Repeater()
    repeater.start(b"x", 2, 0.0)
    for now in range(1, 20):
        repeater.restart(b"%d" % now, float(now))
    assert repeater.handle_timer(19.4) is None
    assert repeater.handle_timer(19.5 + 1) == b"19"
