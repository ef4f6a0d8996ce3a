from webrtc_transport.engine.early_messages import MESSAGE_COST, EarlyMessages


def test_messages_of_a_stream_are_taken_in_their_order():
    early = EarlyMessages(10_000)
    for stream_id in (1, 2, 1):
        assert early.keep(stream_id, 53, b"%d" % stream_id)
    assert 1 in early
    assert early.size_of(1) == 2 * (MESSAGE_COST + 1)
    assert early.take(1) == [(53, b"1"), (53, b"1")]
    assert 1 not in early
    assert early.size_of(1) == 0
    assert early.take(1) == []
    assert early.take(2) == [(53, b"2")]


def test_one_account_for_all_streams():
    early = EarlyMessages(4 * MESSAGE_COST + 10)
    assert early.keep(1, 53, bytes(10))
    assert all(early.keep(2, 53, b"") for _ in range(3))
    assert not early.keep(3, 53, b"")
    assert 3 not in early
    early.take(1)
    assert early.keep(3, 53, bytes(10))
    assert not early.keep(3, 53, b"")
