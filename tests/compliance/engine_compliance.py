"""What any engine has to do, by its contract in ``webrtc_transport.abc``. Subclass it, and say which engine."""

import asyncio
import hashlib
import os
import random
from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from tests.compliance.engine_ends import CLOSED, connected_ends, nothing_left, start, two_ends, wire
from webrtc_transport.errors import (
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionLost,
    DtlsFailed,
    IceFailed,
)
from webrtc_transport.protocol.sdp import DtlsSetup, Fingerprint

SETUP_PHASES = ("ice", "dtls", "sctp")
MESSAGE = 16 * 1024
"""Bytes of the largest message that every peer takes."""


def message(number, size=MESSAGE):
    """A message that is told from every other one."""
    return hashlib.sha256(str(number).encode()).digest() * (size // 32)


class EngineCompliance(ABC):
    pytestmark = pytest.mark.anyio

    unfinished = 0
    """Bytes of the window that a message which isn't whole may take, where the window counts fragments."""

    @abstractmethod
    def engine(self):
        """A new engine. Its peers reach each other."""

    @abstractmethod
    def silence(self, end):
        """Let nothing of this end get out any more, and nothing in, as if its process had been killed."""

    @pytest.fixture(autouse=True)
    async def _leaves_nothing(self):
        async with nothing_left():
            yield

    # --- setting up -----------------------------------------------------------------------------------------------

    async def test_phases_are_told_in_order_at_both_ends(self):
        async with connected_ends(self.engine()) as ends:
            for end in ends:
                assert end.phases == [*SETUP_PHASES, "connected"]
                assert end.peer.max_message_size == MESSAGE

    async def test_candidates_are_told_once_and_then_their_end(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            offerer.peer.gather()
            await offerer.journal.until(lambda: None in offerer.candidates and None in answerer.candidates)
            for end in (offerer, answerer):
                *found, last = end.candidates
                assert last is None
                assert None not in found
                assert found
                assert len(set(found)) == len(found)

    async def test_the_pair_is_of_candidates_of_both_ends(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            for end, other in ((offerer, answerer), (answerer, offerer)):
                pair = end.peer.candidate_pair
                assert pair.kind == "host"
                assert pair.local in end.candidates
                assert (pair.remote.address, pair.remote.port) in [
                    (c.address, c.port) for c in other.candidates if c
                ]

    async def test_candidates_may_come_with_the_description(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            for end in (offerer, answerer):
                end.peer.gather()
            await offerer.journal.until(lambda: None in offerer.candidates and None in answerer.candidates)
            offer, answer = (
                replace(
                    end.peer.local_description, candidates=tuple(end.candidates[:-1]), end_of_candidates=True
                )
                for end in (offerer, answerer)
            )
            answerer.peer.start(offer)
            offerer.peer.start(answer)
            await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)

    async def test_one_candidate_is_enough(self):
        # The other end learns its peer's address from the checks.
        async with two_ends(self.engine()) as (offerer, answerer):
            answerer.peer.start(offerer.peer.local_description)
            offerer.peer.start(answerer.peer.local_description)
            offerer.other = answerer
            for end in (offerer, answerer):
                end.peer.gather()
            await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)

    async def test_the_answerer_may_start_much_earlier(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            wire(offerer, answerer)
            answerer.peer.start(offerer.peer.local_description)
            for end in (offerer, answerer):
                end.peer.gather()
            await offerer.journal.until(lambda: None in offerer.candidates and None in answerer.candidates)
            offerer.peer.start(answerer.peer.local_description)
            assert await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected) < 1

    @pytest.mark.parametrize("answerer_is_server", [False, True])
    async def test_stream_ids_follow_the_dtls_role(self, answerer_is_server):
        # RFC 8832, section 6: even for the client. An offerer that is active leaves the server's role.
        async with two_ends(self.engine()) as (offerer, answerer):
            setup = DtlsSetup.ACTIVE if answerer_is_server else DtlsSetup.ACTPASS
            start(offerer, answerer, setup=setup)
            await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)
            ids = [[end.open().channel.id for _ in range(3)] for end in (offerer, answerer)]
            odd, even = (answerer, offerer) if answerer_is_server else (offerer, answerer)
            assert [i % 2 for i in ids[(offerer, answerer).index(odd)]] == [1, 1, 1]
            assert [i % 2 for i in ids[(offerer, answerer).index(even)]] == [0, 0, 0]
            assert all(len(set(own)) == 3 for own in ids)

    async def test_a_wrong_fingerprint_fails_in_dtls_and_the_other_end_is_told(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            start(offerer, answerer, fingerprints=(Fingerprint("sha-256", bytes(32)),))
            await offerer.journal.until(lambda: offerer.closed and answerer.closed)
            assert isinstance(answerer.closed[0], DtlsFailed)
            assert not answerer.is_connected
            assert isinstance(offerer.closed[0], ConnectError | ConnectionClosed)

    async def test_without_candidates_ice_fails_and_says_what_was_tried(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            offerer.peer.start(replace(answerer.peer.local_description, end_of_candidates=True))
            await offerer.journal.until(lambda: offerer.closed)
            assert isinstance(offerer.closed[0], IceFailed)
            assert "the peer sent no usable candidate; ours were host" in str(offerer.closed[0])
            assert offerer.phases == ["ice"]

    async def test_wrong_ice_credentials_never_connect(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            start(offerer, answerer, pwd="x" * 22)
            await asyncio.sleep(0.2)
            assert not offerer.is_connected
            assert answerer.phases == ["ice"]

    # --- data -----------------------------------------------------------------------------------------------------

    async def test_a_channel_can_be_sent_on_at_once(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            for end, other in ((offerer, answerer), (answerer, offerer)):
                record = end.open(label="a label")
                record.channel.send(b"hello")
                await end.journal.until(lambda other=other: other.inbound and other.inbound[0].messages)
                assert other.inbound[0].messages == [b"hello"]
                assert other.inbound[0].channel.label == "a label"
                assert other.inbound[0].channel.id == record.channel.id

    async def test_data_arrives_in_order_with_its_message_boundaries(self):
        sizes = [1, 2, 1171, 1172, 1173, 1200, 5000, MESSAGE] * 8
        messages = [os.urandom(size) for size in sizes]
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            for data in messages:
                there.channel.send(data)
            await offerer.journal.until(lambda: answerer.inbound)
            back = answerer.inbound[0]
            for data in reversed(messages):
                back.channel.send(data)
            await offerer.journal.until(lambda: len(back.messages) == len(there.messages) == len(messages))
            assert back.messages == messages
            assert there.messages == messages[::-1]

    async def test_an_empty_message_is_a_message(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            for data in (b"", b"a", b"", b""):
                there.channel.send(data)
            await offerer.journal.until(lambda: answerer.inbound and len(answerer.inbound[0].messages) == 4)
            assert answerer.inbound[0].messages == [b"", b"a", b"", b""]
            await offerer.journal.until(lambda: there.sent == 1)

    async def test_a_message_that_the_peer_does_not_take_is_refused(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            with pytest.raises(ValueError, match=r"\d+ bytes"):
                there.channel.send(bytes(offerer.peer.max_message_size + 1))
            there.channel.send(message(1))
            await offerer.journal.until(
                lambda: answerer.inbound and answerer.inbound[0].messages == [message(1)]
            )
            await offerer.journal.until(lambda: there.sent == MESSAGE)

    async def test_credits_add_up_to_what_was_sent(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there, total = offerer.open(), 0
            for number in range(100):
                size = random.Random(number).randrange(1, MESSAGE)
                there.channel.send(bytes(size))
                total += size
                assert there.sent <= total
                if number % 10 == 0:
                    await asyncio.sleep(0)
            await offerer.journal.until(
                lambda: there.sent >= total and answerer.inbound and answerer.inbound[0].received == total
            )
            assert there.sent == total
            there.channel.send(b"one more")
            await offerer.journal.until(lambda: there.sent == total + 8)

    async def test_many_channels_at_once(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            records = [end.open() for end in (offerer, answerer) for _ in range(20)]
            expected = {}
            for record in records:
                data = [message(f"{record.channel.id} {number}", 4096) for number in range(10)]
                expected[record.channel.id] = data
                for part in data:
                    record.channel.send(part)
            arrived = lambda: [r for end in (offerer, answerer) for r in end.inbound if len(r.messages) == 10]  # noqa: E731
            await offerer.journal.until(lambda: len(arrived()) == 40, 20)
            assert {record.channel.id: record.messages for record in arrived()} == expected

    async def test_a_negotiated_channel_needs_no_open_and_loses_no_early_message(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            first = offerer.open(negotiated_id=0)
            assert first.channel.id == 0
            for number in range(5):
                first.channel.send(message(number, 64))
            await offerer.journal.until(lambda: answerer.peer.statistics().unread == 5 * 64)
            second = answerer.open(negotiated_id=0)
            assert second.messages == []
            first.channel.send(b"last")
            second.channel.send(b"answer")
            await offerer.journal.until(lambda: len(second.messages) == 6 and first.messages)
            assert second.messages == [*(message(number, 64) for number in range(5)), b"last"]
            assert first.messages == [b"answer"]
            assert not answerer.inbound
            assert not offerer.inbound

    async def test_statistics_count(self):
        async with connected_ends(self.engine(), answerer_grants=False) as (offerer, answerer):
            there = offerer.open()
            there.channel.send(message(1))
            await offerer.journal.until(lambda: answerer.inbound and answerer.inbound[0].received)
            sent, received = offerer.peer.statistics(), answerer.peer.statistics()
            assert sent.bytes_sent >= MESSAGE
            assert received.bytes_received >= MESSAGE
            assert sent.packets_sent > 0
            assert received.packets_received > 0
            assert received.unread == MESSAGE
            answerer.peer.grant(MESSAGE)
            assert answerer.peer.statistics().unread == 0

    # --- back-pressure --------------------------------------------------------------------------------------------

    async def test_a_receiver_that_does_not_read_holds_its_sender_and_loses_nothing(self):
        window, count = 64 * 1024, 128
        async with connected_ends(self.engine(), answerer_grants=False, receive_buffer=window) as (
            offerer,
            answerer,
        ):
            there = offerer.open()
            for number in range(count):
                there.channel.send(message(number))
            await offerer.journal.until(lambda: answerer.inbound)
            back = answerer.inbound[0]
            received = await offerer.journal.until_still(lambda: back.received)
            assert window - self.unfinished <= received <= window + MESSAGE
            assert answerer.peer.statistics().unread == received
            assert there.sent < count * MESSAGE
            # The other direction isn't held.
            back.channel.send(b"still here")
            await offerer.journal.until(lambda: there.messages == [b"still here"])
            back.grants = True
            answerer.peer.grant(received)
            await offerer.journal.until(lambda: back.received == count * MESSAGE, 30)
            assert back.messages == [message(number) for number in range(count)]
            await offerer.journal.until(lambda: there.sent == count * MESSAGE)

    async def test_what_comes_on_a_refused_channel_takes_no_room(self):
        window = 64 * 1024
        async with connected_ends(self.engine(), receive_buffer=window) as (offerer, answerer):
            answerer.refuses_channels = True
            refused = offerer.open(label="init")
            for number in range(8):
                refused.channel.send(message(number))
            await offerer.journal.until(lambda: refused.closed)
            answerer.refuses_channels = False
            there = offerer.open()
            for number in range(8):
                there.channel.send(message(number))
            await offerer.journal.until(
                lambda: answerer.inbound and answerer.inbound[0].received == 8 * MESSAGE
            )
            assert answerer.peer.statistics().unread == 0

    # --- closing channels -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("closer", ["opener", "other"])
    async def test_a_close_is_told_once_at_both_ends(self, closer):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            await offerer.journal.until(lambda: answerer.inbound)
            back = answerer.inbound[0]
            record = there if closer == "opener" else back
            record.channel.close()
            record.channel.close()
            assert await offerer.journal.until(lambda: there.closed and back.closed) < 1
            record.channel.close()
            await asyncio.sleep(0.05)
            assert (there.closed, back.closed) == (1, 1)

    async def test_closing_at_both_ends_at_once(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            await offerer.journal.until(lambda: answerer.inbound)
            back = answerer.inbound[0]
            there.channel.close()
            back.channel.close()
            await offerer.journal.until(lambda: there.closed and back.closed)
            assert (there.closed, back.closed) == (1, 1)

    async def test_what_is_queued_arrives_before_the_close(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            for number in range(50):
                there.channel.send(message(number))
            there.channel.close()
            there.channel.send(b"too late")
            await offerer.journal.until(lambda: answerer.inbound and answerer.inbound[0].closed)
            assert answerer.inbound[0].messages == [message(number) for number in range(50)]

    async def test_what_is_queued_at_the_other_end_arrives_too(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            await offerer.journal.until(lambda: answerer.inbound)
            back = answerer.inbound[0]
            for number in range(50):
                back.channel.send(message(number))
            there.channel.close()
            await offerer.journal.until(lambda: there.closed and back.closed)
            assert there.messages == [message(number) for number in range(50)]

    async def test_a_close_may_be_due_later(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            await offerer.journal.until(lambda: answerer.inbound)
            there.channel.close(delay=0.2)
            there.channel.send(b"meanwhile")
            elapsed = await offerer.journal.until(lambda: there.closed)
            assert 0.15 < elapsed < 1
            assert answerer.inbound[0].messages == [b"meanwhile"]

    async def test_a_peer_that_closes_first_doesnt_wait_for_the_delay(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            await offerer.journal.until(lambda: answerer.inbound)
            there.channel.close(delay=30)
            answerer.inbound[0].channel.close()
            assert await offerer.journal.until(lambda: there.closed) < 1

    async def test_two_thousand_channels_one_after_the_other(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            for _ in range(40):
                records = [offerer.open() for _ in range(50)]
                for record in records:
                    record.channel.send(b"hello")
                    record.channel.close()
                await offerer.journal.until(
                    lambda records=records: (
                        all(record.closed for record in (*records, *answerer.inbound))
                        and len(answerer.inbound) == 50
                    )
                )
                assert [record.messages for record in answerer.inbound] == [[b"hello"]] * 50
                assert all(record.closed == 1 for record in (*records, *answerer.inbound))
                answerer.inbound.clear()

    # --- the end --------------------------------------------------------------------------------------------------

    async def test_close_before_start(self):
        async with two_ends(self.engine()) as (offerer, _):
            offerer.peer.gather()
            reason = ConnectionAborted("changed my mind")
            assert await offerer.close(reason) < 1
            assert offerer.closed == [reason]

    async def test_close_in_the_same_turn_as_start(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            start(offerer, answerer)
            assert await offerer.close() < 1
            assert offerer.closed == [CLOSED]

    async def test_nothing_begins_after_close(self):
        async with two_ends(self.engine()) as (offerer, answerer):
            offerer.peer.close(CLOSED)
            start(offerer, answerer)
            offerer.peer.grant(1)
            offerer.peer.close(ConnectionAborted("again"))
            await offerer.journal.until(lambda: offerer.closed)
            await asyncio.sleep(0.05)
            assert offerer.closed == [CLOSED]
            assert offerer.phases == []

    @pytest.mark.parametrize("phase", [*SETUP_PHASES, "connected"])
    @pytest.mark.parametrize("is_offerer", [True, False])
    @pytest.mark.parametrize("at_once", [True, False])
    async def test_close_in_each_phase(self, phase, is_offerer, at_once):
        async with two_ends(self.engine()) as (offerer, answerer):
            end = offerer if is_offerer else answerer
            reason = ConnectionAborted("changed my mind")

            def close(told):
                if told == phase:
                    if at_once:
                        end.peer.close(reason)
                    else:
                        asyncio.get_running_loop().call_soon(end.peer.close, reason)

            end.on_phase_told = close
            start(offerer, answerer)
            await offerer.journal.until(lambda: phase in end.phases)
            assert await offerer.journal.until(lambda: end.closed, 2) < 1
            assert end.closed == [reason]
            assert end.phases == [*SETUP_PHASES, "connected"][: len(end.phases)]
            assert end.phases[-1] == phase or not at_once

    async def test_a_closed_peer_is_noticed(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            records = [end.open() for end in (offerer, answerer) for _ in range(3)]
            await offerer.journal.until(lambda: len(offerer.inbound) == len(answerer.inbound) == 3)
            reason = ConnectionAborted("enough")
            offerer.peer.close(reason)
            assert await offerer.journal.until(lambda: offerer.closed and answerer.closed) < 1
            assert offerer.closed == [reason]
            assert isinstance(answerer.closed[0], ConnectionClosed)
            # The end of a connection stands for that of its channels.
            await asyncio.sleep(0.05)
            assert not any(record.closed for record in (*records, *offerer.inbound, *answerer.inbound))

    async def test_closing_at_both_ends_of_a_connection_at_once(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            for end in (offerer, answerer):
                end.peer.close(CLOSED)
            assert await offerer.journal.until(lambda: offerer.closed and answerer.closed) < 1
            assert offerer.closed == answerer.closed == [CLOSED]

    async def test_what_was_delivered_before_the_peers_close_is_told(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            there = offerer.open()
            there.channel.send(b"last words")
            await offerer.journal.until(lambda: answerer.inbound and answerer.inbound[0].messages)
            offerer.peer.close(CLOSED)
            await offerer.journal.until(lambda: answerer.closed)
            assert answerer.inbound[0].messages == [b"last words"]

    async def test_close_in_the_middle_of_a_transfer(self):
        async with connected_ends(self.engine()) as (offerer, answerer):
            records = [end.open() for end in (offerer, answerer)]
            for record in records:
                for number in range(100):
                    record.channel.send(message(number))
            await offerer.journal.until(
                lambda: answerer.inbound and answerer.inbound[0].received > 10 * MESSAGE
            )
            offerer.peer.close(CLOSED)
            assert await offerer.journal.until(lambda: offerer.closed and answerer.closed) < 1
            for record in records:
                record.channel.send(b"to nobody")
                record.channel.close()
                record.channel.close(delay=0.01)

    async def test_close_while_a_channels_close_is_due(self):
        async with connected_ends(self.engine()) as (offerer, _):
            there = offerer.open()
            there.channel.close(delay=0.1)
            await offerer.close()
            await asyncio.sleep(0.2)
            assert not there.closed

    async def test_no_channel_is_opened_after_the_end(self):
        async with connected_ends(self.engine()) as (offerer, _):
            offerer.peer.close(CLOSED)
            with pytest.raises(ConnectionEnded):
                offerer.open()
            await offerer.journal.until(lambda: offerer.closed)
            with pytest.raises(ConnectionEnded):
                offerer.open()

    async def test_a_silent_peer_is_given_up_after_the_liveness_timeout(self):
        async with connected_ends(self.engine(), liveness_timeout=1.0) as (offerer, answerer):
            self.silence(answerer)
            elapsed = await offerer.journal.until(lambda: offerer.closed, 5)
            assert 0.6 < elapsed < 1.5
            assert isinstance(offerer.closed[0], ConnectionLost)
            assert offerer.phases == [*SETUP_PHASES, "connected", "disconnected"]

    async def test_a_peer_that_falls_silent_during_the_handshake_is_given_up_too(self):
        async with two_ends(self.engine(), liveness_timeout=1.0) as (offerer, answerer):
            answerer.on_phase_told = lambda phase: self.silence(answerer) if phase == "dtls" else None
            start(offerer, answerer)
            await offerer.journal.until(lambda: offerer.closed, 15)
            assert isinstance(offerer.closed[0], ConnectError)
