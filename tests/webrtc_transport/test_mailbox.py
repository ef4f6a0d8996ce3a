import pytest

from webrtc_transport.mailbox import Mailbox


def test_a_mailbox_whose_wake_up_failed_tries_again():
    drains, taken, is_broken = [], [], True

    def wake(drain):
        if is_broken:
            raise RuntimeError("Event loop is closed")
        drains.append(drain)

    mailbox = Mailbox(wake)
    for number in range(2):
        with pytest.raises(RuntimeError):
            mailbox.put(lambda number=number: taken.append(number))
    is_broken = False
    mailbox.put(lambda: taken.append(2))
    drains.pop()()
    assert taken == [0, 1, 2]


def test_one_wake_up_for_as_many_as_have_gathered():
    drains, taken = [], []
    mailbox = Mailbox(drains.append)
    for number in range(3):
        mailbox.put(lambda number=number: taken.append(number))
    assert len(drains) == 1
    drains.pop()()
    assert taken == [0, 1, 2]


def test_what_comes_while_it_is_emptied_waits_for_the_next_turn():
    drains, taken = [], []
    mailbox = Mailbox(drains.append)

    def again():
        taken.append("first")
        mailbox.put(lambda: taken.append("second"))

    mailbox.put(again)
    drains.pop()()
    assert taken == ["first"]
    drains.pop()()
    assert taken == ["first", "second"]
    assert not drains


def test_what_a_function_raises_stops_nothing(caplog):
    drains, taken = [], []
    mailbox = Mailbox(drains.append)
    mailbox.put(lambda: 1 / 0)
    mailbox.put(lambda: taken.append(1))
    drains.pop()()
    assert taken == [1]
    assert [record.name for record in caplog.records] == ["libp2p.transport.webrtc.portal"]


def test_a_closed_one_runs_nothing_more():
    drains, taken = [], []
    mailbox = Mailbox(drains.append)

    def close():
        taken.append("close")
        mailbox.close()

    mailbox.put(close)
    mailbox.put(lambda: taken.append("after"))
    drains.pop()()
    assert taken == ["close"]
