"""The kinds of foreign peers, and what is known to be wrong with them."""

import functools

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

_GO_BURST = Defect(
    cells=("streams_in_one_burst",),
    symptom="of 200 streams that are opened at once some never get an answer",
    evidence="pion/sctp 1.8.39: association.go, acceptChSize = 16; a new stream that finds the queue full is dropped",
    always=False,
)
_GO_LARGE_MESSAGES = Defect(
    cells=("echo", "half_close"),
    symptom="`short buffer`, and the stream is reset",
    evidence=(
        "go-msgio 0.3.0: pbio/uvarint_reader.go reads through bufio's 4096 bytes, and pion/sctp gives an SCTP message "
        "whole or not at all; a frame is taken only when its length prefix is a message of its own, or all of it fits"
    ),
    dialers=("rust", "python"),
)

GO = PeerKind(
    name="go",
    library="go-libp2p 0.51.0, pion/webrtc 4.1.2",
    start=start_go,
    listens=(1, 2),
    dials=(1, 2),
    listener_defects=(_GO_BURST,),
)

RUST = PeerKind(
    name="rust",
    library="rust-libp2p 0.57.1, libp2p-webrtc 0.10.0-alpha, webrtc-rs 0.17.2",
    start=start_rust,
    listens=(1,),
    dials=(1,),
)

JS = PeerKind(
    name="js",
    library="js-libp2p 3.3.11, @libp2p/webrtc 6.0.33, node-datachannel 0.33.4",
    start=start_js,
    listens=(1,),
    dials=(1,),
)

PYTHON = PeerKind(
    name="python",
    library="libp2p 0.8.1, aiortc 1.15.0",
    start=start_python,
    listens=(1, 2),
    dials=(1, 2),
)

CHROMIUM = PeerKind(
    name="chromium",
    library="js-libp2p 3.3.11, @libp2p/webrtc 6.0.33, Debian's Chromium",
    start=start_chromium,
    dials=(1, 2),
    in_browser=True,
)

FIREFOX = PeerKind(
    name="firefox",
    library="js-libp2p 3.3.11, @libp2p/webrtc 6.0.33, Debian's Firefox ESR",
    start=start_firefox,
    dials=(1, 2),
    in_browser=True,
)

KINDS = (GO, RUST, JS, PYTHON, CHROMIUM, FIREFOX)
