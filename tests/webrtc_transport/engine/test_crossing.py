"""Datagrams from one loop to the other."""

from webrtc_transport.engine.crossing import MAX_CROSSING, Crossing

SOURCE = ("192.0.2.1", 9)


def test_what_fits_crosses_in_order_and_the_rest_is_lost():
    waiting, arrived = [], []
    crossing = Crossing(
        lambda *call: waiting.append(call), lambda item, address: arrived.append((item, address))
    )
    for number in range(MAX_CROSSING + 2):
        crossing.send(number, SOURCE)
    assert len(waiting) == MAX_CROSSING
    assert not arrived
    for function, *arguments in waiting:
        function(*arguments)
    assert arrived == [(number, SOURCE) for number in range(MAX_CROSSING)]
    crossing.send("again", SOURCE)
    assert len(waiting) == MAX_CROSSING + 1


def test_what_is_taken_at_once_is_never_too_much():
    arrived = []
    crossing = Crossing(
        lambda function, *arguments: function(*arguments), lambda item, _: arrived.append(item)
    )
    for number in range(2 * MAX_CROSSING):
        crossing.send(number, SOURCE)
    assert arrived == list(range(2 * MAX_CROSSING))
