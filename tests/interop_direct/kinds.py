"""The kinds of foreign peers, and what is known to be wrong with them."""

from dataclasses import replace

from tests.interop_direct.cells import CELLS
from tests.interop_direct.peers import (
    Defect,
    PeerKind,
    start_chromium,
    start_firefox,
    start_go,
    start_js,
    start_python,
    start_rust,
)

IN_JS = ("js", "chromium", "firefox")
BROWSER_END_TIMEOUT = 30
"""Seconds: a browser's data channels close at once, but js-libp2p waits for the state of the peer connection, which
follows after 5 s or more in Chromium, and 8 s or more in Firefox."""
EVERYTHING = tuple(cell.__name__ for cell in CELLS)

# go-libp2p 0.51.0

_GO_BURST = Defect(
    cells=("streams_in_one_burst",),
    symptom="of 200 streams that are opened at once some never get an answer",
    evidence="pion/sctp 1.8.39, association.go: acceptChSize = 16; a new stream that finds the queue full is dropped",
    always=False,
)
_GO_LARGE_MESSAGES = Defect(
    cells=("echo_in_full_frames",),
    symptom="`short buffer`, and the stream is reset",
    evidence=(
        "go-msgio 0.3.0, pbio/uvarint_reader.go reads through bufio's 4096 bytes, and pion/sctp gives an SCTP message "
        "whole or not at all: a frame is read only if its length prefix is a message of its own, or all of it fits"
    ),
    dialers=("rust", "python"),
    listeners=("rust", "python"),
)

_GO_SAYS_NOTHING = Defect(
    cells=("listener_ends",),
    symptom="when it ends, every other time the other side isn't told",
    evidence="go-libp2p 0.51.0, Host.Close(): seen with itself too; not traced further",
    always=False,
)

# libp2p-webrtc 0.10.0-alpha

_RUST_MESSAGES = Defect(
    cells=("echo", "echo_in_full_frames"),
    symptom="`Short buffer (size: 8192) to be filled`: it reads no SCTP message of more than 8192 bytes",
    evidence=(
        "tokio/stream.rs sets the buffer to 16384, but Stream::new in libp2p-webrtc-utils 0.5.0 reads from a clone, "
        "and webrtc-data 0.17.2, data_channel/mod.rs: the clone of a PollDataChannel has the default of 8192"
    ),
    dialers=IN_JS,
    listeners=IN_JS,
    always=False,
)
_RUST_FULL_FRAMES = replace(
    _RUST_MESSAGES, cells=("echo_in_full_frames",), dialers=("rust",), listeners=("rust",), always=True
)
_RUST_NO_FIN_ACK = Defect(
    cells=("streams", "streams_in_one_burst", "half_close"),
    symptom="it never sends FIN_ACK, and js-libp2p's close() gives up after 10 s, with an error",
    evidence="libp2p-webrtc-utils 0.5.0, generated/webrtc.pb.rs: the flags are FIN, STOP_SENDING and RESET",
    dialers=IN_JS,
)
_RUST_FIN_ACK_IS_AN_ERROR = Defect(
    cells=("half_close",),
    symptom="`unknown enumeration value 3`: what comes after the FIN_ACK to its own FIN is never read",
    evidence="libp2p-webrtc-utils 0.5.0, stream.rs: io_poll_next fails at a flag that it doesn't know",
    listeners=("go", "js", "python", "ours"),
)
_RUST_RESET_IS_EOF = Defect(
    cells=("reset_by_dialer",),
    symptom="a reset reads as EOF",
    evidence="libp2p-webrtc-utils 0.5.0, stream.rs: poll_read returns Ok(0) for each frame without data",
)
_RUST_DIALER_RESET_IS_EOF = replace(_RUST_RESET_IS_EOF, cells=("reset_by_listener",))
_RUST_END = Defect(
    cells=("dialer_closes", "listener_ends", "dialer_is_killed", "listener_is_killed"),
    symptom="it doesn't notice, or doesn't tell, that a connection has ended",
    evidence="libp2p-webrtc 0.10.0-alpha, tokio/connection.rs: poll() never looks at the peer connection's state",
    always=False,
)
_RUST_BURST = Defect(
    cells=("streams_in_one_burst",),
    symptom="`Can't send data channel: channel is full`, and the stream is closed",
    evidence="libp2p-webrtc 0.10.0-alpha, tokio/connection.rs: MAX_DATA_CHANNELS_IN_FLIGHT = 10",
    always=False,
)
_RUST_TWO_ADDRESSES = Defect(
    cells=EVERYTHING,
    symptom="most often go-libp2p's dial times out",
    evidence=(
        "libp2p-webrtc 0.10.0-alpha, tokio/udp_mux.rs makes a new connection for each source address, and go-libp2p "
        "checks from all its own addresses, with one ufrag; its log shows two of them; not traced further"
    ),
    dialers=("go",),
    always=False,
)
_RUST_DIAL = Defect(
    cells=EVERYTHING,
    symptom="at times a dial ends by its time limit",
    evidence="libp2p-webrtc 0.10.0-alpha with go-libp2p 0.51.0; not traced further",
    listeners=("go",),
    always=False,
)

# @libp2p/webrtc 6.0.33 with node-datachannel 0.33.4

_JS_RESET = Defect(
    cells=("reset_by_listener", "reset_by_dialer"),
    symptom="at times a reset reads as EOF",
    evidence="stream.ts: the channel is closed right after RESET, and onclose without a flag before it means EOF",
    always=False,
)
_JS_ORDER = Defect(
    cells=(
        "identify_and_ping",
        "echo",
        "echo_in_full_frames",
        "streams",
        "streams_in_one_burst",
        "half_close",
    ),
    symptom=(
        "at times a new stream's first messages are read in a wrong order: it is reset after 10 s, or not answered"
    ),
    evidence=(
        "libdatachannel 0.24.5, src/impl/channel.cpp: flushPendingMessages() takes a message and hands it on without a "
        "lock around both, in the thread that receives, and in the one that sets a new channel's handler; it was 3 of "
        "360 echoes on a busy machine. It takes a dialer that doesn't wait for multistream-select's answer"
    ),
    dialers=("go",),
    always=False,
)

_JS_END = Defect(
    cells=("dialer_closes",),
    symptom="at times it doesn't notice that a dialer has gone again that has just come",
    evidence=(
        "@libp2p/webrtc 6.0.33 with node-datachannel 0.33.4: on a busy machine 4 of 117 times with go-libp2p, and 1 of "
        "120 with this library, which noticed go-libp2p's going 100 times of 100. Not traced further"
    ),
    dialers=("go", "ours"),
    always=False,
)

# libp2p 0.8.1

_PYTHON_STREAMS = Defect(
    cells=EVERYTHING,
    symptom="at times a stream never gets an answer, or is closed at once",
    evidence="libp2p 0.8.1 with go-libp2p, js-libp2p and itself, most often right after another; not traced further",
    always=False,
)
_PYTHON_DROPS = Defect(
    cells=("echo", "echo_in_full_frames"),
    symptom="`read buffer full, dropping message`: what its reader is too slow for is lost, and an echo is too short",
    evidence="libp2p 0.8.1, transport/webrtc/stream.py: send_nowait() into a channel for 64 messages; if full, it logs",
    always=False,
)
_PYTHON_HALF_CLOSE = Defect(
    cells=("half_close",),
    symptom="after EOF nothing can be written, and after its own FIN nothing can be read",
    evidence=(
        "libp2p 0.8.1, transport/webrtc/stream.py: EOF is a WebRTCStreamError, which puts NetStream in its error "
        "state; there is no close_write, and close() ends both halves"
    ),
)
_PYTHON_RESET_IS_EOF = Defect(
    cells=("reset_by_dialer",),
    symptom="a reset reads as EOF",
    evidence="libp2p 0.8.1, transport/webrtc/stream.py: _reset_locally queues the mark of EOF",
)
_PYTHON_DIALER_RESET_IS_EOF = replace(_PYTHON_RESET_IS_EOF, cells=("reset_by_listener",))
_PYTHON_CLOSED = Defect(
    cells=("dialer_closes", "dialer_is_killed"),
    symptom="it never notices that the other side has gone",
    evidence="libp2p 0.8.1, transport/webrtc/_aiortc_helpers.py: wire_pc_to_connection follows no connection state",
)
_PYTHON_DIALER_CLOSED = replace(_PYTHON_CLOSED, cells=("listener_ends", "listener_is_killed"))
_PYTHON_SAYS_NOTHING = Defect(
    cells=("listener_ends",),
    symptom="when it ends the other side doesn't notice within 5 s",
    evidence="libp2p 0.8.1: seen with go-libp2p and js-libp2p; not traced further",
    always=False,
)

GO = PeerKind(
    name="go",
    library="go-libp2p 0.51.0, pion/webrtc 4.1.2",
    start=start_go,
    listens=(1, 2),
    dials=(1, 2),
    largest_write=4000,
    burst=8,
    listener_defects=(_GO_BURST, _GO_LARGE_MESSAGES, _GO_SAYS_NOTHING),
    dialer_defects=(_GO_LARGE_MESSAGES,),
)

RUST = PeerKind(
    name="rust",
    library="rust-libp2p 0.57.1, libp2p-webrtc 0.10.0-alpha, webrtc-rs 0.17.2",
    start=start_rust,
    listens=(1,),
    dials=(1,),
    largest_write=8000,
    burst=8,
    listener_defects=(
        _RUST_MESSAGES,
        _RUST_FULL_FRAMES,
        _RUST_NO_FIN_ACK,
        _RUST_RESET_IS_EOF,
        _RUST_END,
        _RUST_BURST,
        _RUST_TWO_ADDRESSES,
    ),
    dialer_defects=(
        _RUST_MESSAGES,
        _RUST_FIN_ACK_IS_AN_ERROR,
        _RUST_DIALER_RESET_IS_EOF,
        _RUST_END,
        _RUST_DIAL,
    ),
)

JS = PeerKind(
    name="js",
    library="js-libp2p 3.3.11, @libp2p/webrtc 6.0.33, node-datachannel 0.33.4",
    start=start_js,
    listens=(1,),
    dials=(1,),
    listener_defects=(_JS_RESET, _JS_ORDER, _JS_END),
    dialer_defects=(_JS_RESET,),
)

PYTHON = PeerKind(
    name="python",
    library="libp2p 0.8.1, aiortc 1.15.0",
    start=start_python,
    listens=(1, 2),
    dials=(1, 2),
    listener_defects=(
        _PYTHON_STREAMS,
        _PYTHON_DROPS,
        _PYTHON_HALF_CLOSE,
        _PYTHON_RESET_IS_EOF,
        _PYTHON_CLOSED,
        _PYTHON_SAYS_NOTHING,
    ),
    dialer_defects=(
        _PYTHON_STREAMS,
        _PYTHON_DROPS,
        _PYTHON_HALF_CLOSE,
        _PYTHON_DIALER_RESET_IS_EOF,
        _PYTHON_DIALER_CLOSED,
    ),
)

CHROMIUM = PeerKind(
    name="chromium",
    library="js-libp2p 3.3.11, @libp2p/webrtc 6.0.33, Debian's Chromium",
    start=start_chromium,
    dials=(1, 2),
    in_browser=True,
    end_timeout=BROWSER_END_TIMEOUT,
)

FIREFOX = PeerKind(
    name="firefox",
    library="js-libp2p 3.3.11, @libp2p/webrtc 6.0.33, Debian's Firefox ESR",
    start=start_firefox,
    dials=(1, 2),
    in_browser=True,
    end_timeout=BROWSER_END_TIMEOUT,
)

KINDS = (GO, RUST, JS, PYTHON, CHROMIUM, FIREFOX)
