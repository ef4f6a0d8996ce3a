"""What the engine uses of aioice and aiortc beyond their public interfaces: a release that changes it fails here.

Behaviour is tested elsewhere. These tests tell, after an upgrade, *what* has changed: names, signatures, and which
names the libraries use of our objects.
"""

import ast
import inspect
import textwrap
from pathlib import Path

import aioice
import pytest
from aioice import mdns, stun, turn
from aioice.ice import CandidatePair, StunProtocol
from aiortc import RTCDataChannel, RTCDtlsTransport, RTCSctpTransport, rtcdtlstransport, rtcsctptransport

from webrtc_transport.engine import aiortc_pipes, aiortc_stack, gathering, ice_port
from webrtc_transport.engine import ice as our_ice
from webrtc_transport.engine.aiortc_pipes import PacketPipe, SctpPipe
from webrtc_transport.engine.ice import PRIVATE_ATTRIBUTES, IceAgent
from webrtc_transport.engine.ice_port import IcePort, RelayPort


def parse(thing):
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def names_used_of(thing, *owners):
    """The attributes that the source of ``thing`` uses of objects called ``owners`` (``self.x`` or ``x``)."""
    return {
        node.attr
        for node in ast.walk(parse(thing))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in owners
    }


def own_attributes(thing):
    """The attributes that the source of ``thing`` has on ``self``: assigned in a method, or methods and properties."""
    tree = parse(thing)
    assigned = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return assigned | defined


def parameters(function):
    return list(inspect.signature(function).parameters)


# --- aioice ----------------------------------------------------------------------------------------------------------


def test_the_list_of_private_attributes_is_complete():
    """Every underscored name of ``self`` in our agent is its own, or in the list."""
    used = {name for name in names_used_of(IceAgent, "self", "super()") if name.startswith("_")}
    ours = {name for name in own_attributes(IceAgent) if name.startswith("_")} - set(PRIVATE_ATTRIBUTES)
    assert used - ours <= set(PRIVATE_ATTRIBUTES)


@pytest.mark.parametrize("name", PRIVATE_ATTRIBUTES)
def test_aioices_connection_has_the_private_attribute(name):
    assert name in own_attributes(aioice.Connection)


def test_no_attribute_of_our_agent_hides_one_of_aioice():
    meant = {
        *PRIVATE_ATTRIBUTES,
        "__init__",
        "check_complete",
        "check_incoming",
        "check_start",
        "close",
        "get_component_candidates",
        "ice_controlling",
        "query_consent",
        "remote_is_lite",
        "remote_password",
        "remote_username",
    }
    assert own_attributes(IceAgent) & own_attributes(aioice.Connection) <= meant


@pytest.mark.parametrize(
    ("name", "caller"),
    [
        ("get_component_candidates", "gather_candidates"),
        ("check_start", "check_start_task"),
        ("check_complete", "check_start"),
        ("check_incoming", "request_received"),
        ("check_incoming", "connect"),
        ("query_consent", "connect"),
        ("_check_periodic", "connect"),
        ("_prune_components", "_end_remote_candidates"),
        ("_pair_remote_candidate", "connect"),
        ("_add_remote_candidate", "add_remote_candidate"),
    ],
)
def test_aioice_calls_what_we_replace_or_call_ourselves(name, caller):
    assert name in names_used_of(getattr(aioice.Connection, caller), "self")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("get_component_candidates", ["self", "component", "addresses", "timeout"]),
        ("check_start", ["self", "pair"]),
        ("check_complete", ["self", "pair"]),
        ("check_incoming", ["self", "message", "addr", "protocol"]),
        ("request_received", ["self", "message", "addr", "protocol"]),
        ("check_state", ["self", "pair", "state"]),
        ("build_request", ["self", "pair", "nominate"]),
        ("add_remote_candidate", ["self", "remote_candidate"]),
        ("_add_remote_candidate", ["self", "remote_candidate", "network_host"]),
        ("_pair_remote_candidate", ["self", "remote_candidate"]),
        ("_check_periodic", ["self"]),
        ("_prune_components", ["self"]),
        ("query_consent", ["self"]),
        ("sort_check_list", ["self"]),
    ],
)
def test_signatures_of_aioices_connection(name, expected):
    assert parameters(getattr(aioice.Connection, name)) == expected


@pytest.mark.parametrize(
    "name", ["_early_checks_done", "_protocols", "_local_candidates", "_remote_candidates"]
)
def test_aioice_initialises_what_we_read(name):
    connection = aioice.Connection(ice_controlling=True)
    assert not getattr(connection, name)


def test_aioice_tells_that_early_checks_are_done_by_the_flag():
    assert "_early_checks_done" in names_used_of(aioice.Connection.request_received, "self")
    assert "self._early_checks_done = True" in ast.unparse(parse(aioice.Connection.connect))


def test_a_cancelled_check_can_be_started_again():
    # check_start() sets these, so that aioice's check_start_task() and check_incoming() begin anew.
    assert "pair.task is None" in ast.unparse(parse(aioice.Connection.check_start_task))
    assert "CandidatePair.State.FROZEN" in ast.unparse(parse(aioice.Connection.check_incoming))


def test_what_aioice_uses_of_a_port():
    used = names_used_of(aioice.Connection, "protocol", "pair.protocol", "active_pair.protocol")
    # The transport only where it makes ports of its own, which we replace.
    assert names_used_of(aioice.Connection.get_component_candidates, "protocol") == {
        "transport",
        "local_candidate",
    }
    assert used == {"close", "local_candidate", "request", "send_data", "send_stun", "transport"}
    assert names_used_of(CandidatePair, "self.protocol") == {"local_candidate"}
    assert used - {"transport"} <= set(dir(IcePort)) | set(IcePort.__annotations__)
    assert parameters(IcePort.request)[:5] == parameters(StunProtocol.request)
    for name in ("send_stun", "send_data", "close"):
        assert parameters(getattr(IcePort, name)) == parameters(getattr(StunProtocol, name))


def test_a_candidate_pair():
    assert parameters(CandidatePair.__init__) == ["self", "protocol", "remote_candidate"]
    assert {
        "task",
        "nominated",
        "protocol",
        "remote_candidate",
        "remote_nominated",
        "state",
    } <= own_attributes(CandidatePair)
    assert [state.name for state in CandidatePair.State] == [
        "FROZEN",
        "WAITING",
        "IN_PROGRESS",
        "SUCCEEDED",
        "FAILED",
    ]


def test_functions_of_aioices_modules():
    assert gathering.candidate_foundation("host", "udp", "192.0.2.1")
    assert parameters(gathering.candidate_priority)[:2] == ["candidate_component", "candidate_type"]
    assert parameters(our_ice.candidate_pair_priority) == ["local", "remote", "ice_controlling"]
    assert parameters(gathering.get_host_addresses) == ["use_ipv4", "use_ipv6"]
    assert parameters(mdns.create_mdns_protocol) == []
    assert parameters(mdns.MDnsProtocol.resolve)[:2] == ["self", "hostname"]


@pytest.mark.parametrize("client", [turn.TurnClientUdpProtocol, turn.TurnClientTcpProtocol])
def test_the_turn_clients(client):
    assert parameters(client.__init__) == [
        "self",
        "server",
        "username",
        "password",
        "lifetime",
        "channel_refresh_time",
    ]
    assert {"mapped_address", "receiver"} <= own_attributes(turn.TurnClientMixin)
    assert {"connect", "delete", "send_data", "connection_made", "datagram_received"} <= set(dir(client))
    assert parameters(client.send_data) == ["self", "data", "addr"]


def test_what_the_turn_client_uses_of_its_receiver():
    used = names_used_of(turn.TurnClientMixin, "self.receiver")
    assert used == {"connection_lost", "datagram_received"}
    assert used <= set(dir(RelayPort))


def test_stun_transactions():
    assert {"message_class", "message_method", "transaction_id", "attributes"} <= own_attributes(stun.Message)
    assert {"add_message_integrity", "check_message_integrity"} <= own_attributes(stun.Message)
    assert "response" in own_attributes(stun.TransactionFailed)
    assert "exc.response.error_code == 487" in ast.unparse(parse(aioice.Connection.check_start))


# --- aiortc ----------------------------------------------------------------------------------------------------------


def test_what_dtls_uses_of_the_pipe_below_it():
    used = names_used_of(RTCDtlsTransport, "self.transport", "self._transport", "transport")
    assert used == {"_recv", "_send", "role"}
    assert used <= own_attributes(PacketPipe)


def test_the_dtls_role_follows_the_role_of_the_pipe():
    assert "self.transport.role == 'controlling'" in ast.unparse(parse(RTCDtlsTransport.start))
    assert "_set_role('server')" in ast.unparse(parse(RTCDtlsTransport.start))


def test_what_sctp_uses_of_the_pipe_below_it():
    private = "self._RTCSctpTransport__transport"
    source = inspect.getsource(RTCSctpTransport).replace("self.__transport", private)
    used = {
        node.attr
        for node in ast.walk(ast.parse(textwrap.dedent(source)))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in (private, "self.transport", "transport")
    }
    assert used == {"state", "_role", "_register_data_receiver", "_unregister_data_receiver", "_send_data"}
    assert used <= own_attributes(SctpPipe)


def test_what_dtls_uses_of_its_data_receiver():
    assert names_used_of(RTCDtlsTransport, "self._data_receiver") == {"_handle_data"}
    assert "_handle_data" in own_attributes(SctpPipe)


def test_what_data_channels_use_of_sctp():
    used = names_used_of(RTCDataChannel, "self.transport", "self.__transport")
    assert used == {
        "_data_channel_open",
        "_data_channel_add_negotiated",
        "_data_channel_close",
        "_data_channel_send",
    }


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (RTCDtlsTransport, "_register_data_receiver", ["self", "receiver"]),
        (RTCDtlsTransport, "_unregister_data_receiver", ["self", "receiver"]),
        (RTCDtlsTransport, "_send_data", ["self", "data"]),
        (RTCDtlsTransport, "_write_ssl", ["self"]),
        (RTCDtlsTransport, "start", ["self", "remoteParameters"]),
        (RTCDtlsTransport, "stop", ["self"]),
        (RTCSctpTransport, "__init__", ["self", "transport", "port"]),
        (RTCSctpTransport, "_handle_data", ["self", "data"]),
        (RTCSctpTransport, "_data_channel_send", ["self", "channel", "data"]),
        (RTCSctpTransport, "_data_channel_receive", ["self", "stream_id", "pp_id", "data"]),
        (RTCSctpTransport, "start", ["self", "remoteCaps", "remotePort"]),
        (RTCSctpTransport, "stop", ["self"]),
        (rtcsctptransport.parse_packet, None, ["data"]),
        (
            rtcsctptransport.serialize_packet,
            None,
            ["source_port", "destination_port", "verification_tag", "chunk"],
        ),
    ],
)
def test_signatures_of_aiortc(owner, name, expected):
    assert parameters(owner if name is None else getattr(owner, name)) == expected


def test_attributes_of_aiortc_that_are_read():
    assert "_ssl" in own_attributes(RTCDtlsTransport)
    read = {"_advertised_rwnd", "_sack_misordered", "_data_channels", "_data_channel_inbound_reset"}
    assert read <= own_attributes(RTCSctpTransport)


def test_the_private_names_of_aiortc_in_our_modules_are_all_checked_here():
    checked = {
        "_advertised_rwnd",
        "_data_channel_inbound_reset",
        "_data_channel_receive",
        "_data_channel_send",
        "_data_channels",
        "_handle_data",
        "_register_data_receiver",
        "_sack_misordered",
        "_send_data",
        "_ssl",
        "_unregister_data_receiver",
        "_write_ssl",
    }
    for module in (aiortc_pipes, aiortc_stack):
        tree = ast.parse(Path(module.__file__).read_text())
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and ast.unparse(node.value) not in ("self", "cls")
        }
        inherited = {"_data_channels", "_data_channel_receive"}
        assert used <= checked | inherited
    assert {
        name for name in names_used_of(aiortc_stack._SctpTransport, "self", "super()") if name.startswith("_")
    } <= checked


def test_a_stopped_association_stops_its_timers_each_time():
    # AiortcStack.close() stops it twice, because a task in between may start a timer.
    source = ast.unparse(parse(RTCSctpTransport._set_state))
    for timer in ("_t1_cancel", "_t2_cancel", "_t3_cancel", "_reconfig_timer_cancel"):
        assert f"self.{timer}()" in source
    stop = ast.unparse(parse(RTCSctpTransport.stop))
    assert stop.endswith("self._set_state(self.State.CLOSED)")


def test_sctp_reads_the_payload_types_that_we_know():
    receive = inspect.getsource(RTCSctpTransport._data_channel_receive)
    for name in (
        "WEBRTC_DCEP",
        "WEBRTC_BINARY",
        "WEBRTC_STRING",
        "WEBRTC_BINARY_EMPTY",
        "WEBRTC_STRING_EMPTY",
    ):
        assert name in receive


def test_aiortc_still_writes_one_record_per_datagram():
    # PacketPipe hands each one to the network as it comes.
    assert "self._ssl.bio_read(1500)" in inspect.getsource(rtcdtlstransport.RTCDtlsTransport._write_ssl)


def test_the_relay_ports_names_are_those_of_asyncio():
    for name in ("connection_lost", "error_received", "datagram_received"):
        assert callable(getattr(ice_port.RelayPort, name))
