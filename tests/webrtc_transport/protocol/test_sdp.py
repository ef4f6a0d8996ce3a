"""Session descriptions and candidates, with those that Chromium, Firefox and libdatachannel write."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import aiortc.sdp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.limits import (
    MAX_CANDIDATE_LENGTH,
    MAX_REMOTE_CANDIDATES,
    MAX_SDP_LENGTH,
    MAX_SDP_LINES,
    MIN_MESSAGE_SIZE,
)
from webrtc_transport.protocol.sdp import (
    DEFAULT_MAX_MESSAGE_SIZE,
    UNLIMITED_MESSAGE_SIZE,
    DtlsSetup,
    Fingerprint,
    IceCandidate,
    SessionDescription,
)

HEX = "22:9B:4A:01:CB:1D:D8:2D:79:97:21:88:95:1A:B9:A2:1C:96:BC:44:E8:0C:D8:81:07:0E:AC:92:8D:C1:E0:40"
FINGERPRINT = Fingerprint("sha-256", bytes.fromhex(HEX.replace(":", "")))

CHROMIUM = f"""\
v=0
o=- 6266988084880881165 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:1859427102 1 udp 2113937151 931c9c08-9e6f-47c7-af55-e8cafad5e52f.local 42772 typ host generation 0
a=candidate:2779929342 1 udp 1677729535 2001:db8::7 38135 typ srflx raddr :: rport 0 generation 0 network-cost 999
a=ice-ufrag:DJaS
a=ice-pwd:eqVYVLVpdn9nlII2wrwFXm4l
a=ice-options:trickle
a=fingerprint:sha-256 {HEX}
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""

FIREFOX = f"""\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 8387378011910563150 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {HEX}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:0 1 UDP 2122187007 3d1132a4-18aa-458f-a52d-616a68837234.local 44286 typ host
a=candidate:2 1 TCP 2105458943 3d1132a4-18aa-458f-a52d-616a68837234.local 9 typ host tcptype active
a=sendrecv
a=end-of-candidates
a=ice-pwd:4e8af43e9d1056d9d3d6731721db0e76
a=ice-ufrag:c3e55c6c
a=mid:0
a=setup:active
a=sctp-port:5000
a=max-message-size:1073741823
"""

LIBDATACHANNEL = f"""\
v=0
o=rtc 3767197920 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=group:LS 0
a=msid-semantic:WMS *
a=setup:passive
a=ice-ufrag:libp2p+webrtc+v1/zLHMd
a=ice-pwd:libp2p+webrtc+v1/zLHMd
a=ice-options:ice2,trickle
a=ice-lite
a=fingerprint:sha-1 AA:BB
a=fingerprint:SHA-256 {HEX.lower()}
m=application 57221 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.7
a=mid:0
a=sendrecv
a=sctp-port:5000
a=candidate:1 1 UDP 2122317823 192.0.2.7 57221 typ host
a=end-of-candidates
"""

MINIMAL = SessionDescription(
    ufrag="abcd", pwd="a" * 22, fingerprints=(FINGERPRINT,), setup=DtlsSetup.ACTPASS, max_message_size=16384
)
HOST = IceCandidate("1", 1, "udp", 2113937151, "192.0.2.7", 42772, "host")


def crlf(sdp: str) -> str:
    return sdp.replace("\n", "\r\n")


class TestPeers:
    @pytest.mark.parametrize("line_ends", [crlf, str], ids=["CRLF", "LF"])
    def test_chromium(self, line_ends):
        description = SessionDescription.parse(line_ends(CHROMIUM))
        assert description == SessionDescription(
            ufrag="DJaS",
            pwd="eqVYVLVpdn9nlII2wrwFXm4l",
            fingerprints=(FINGERPRINT,),
            setup=DtlsSetup.ACTPASS,
            max_message_size=262144,
            candidates=(
                IceCandidate(
                    foundation="1859427102",
                    component=1,
                    transport="udp",
                    priority=2113937151,
                    address="931c9c08-9e6f-47c7-af55-e8cafad5e52f.local",
                    port=42772,
                    type="host",
                ),
                IceCandidate(
                    foundation="2779929342",
                    component=1,
                    transport="udp",
                    priority=1677729535,
                    address="2001:db8::7",
                    port=38135,
                    type="srflx",
                    related_address="::",
                    related_port=0,
                ),
            ),
        )

    def test_firefox(self):
        description = SessionDescription.parse(crlf(FIREFOX))
        assert description.fingerprints == (FINGERPRINT,)
        assert description.setup is DtlsSetup.ACTIVE
        assert description.max_message_size == 1073741823
        assert description.end_of_candidates
        assert [candidate.transport for candidate in description.candidates] == ["udp", "tcp"]
        assert description.candidates[1].tcp_type == "active"

    def test_libdatachannel(self):
        description = SessionDescription.parse(crlf(LIBDATACHANNEL))
        assert description.ufrag == description.pwd == "libp2p+webrtc+v1/zLHMd"
        assert description.fingerprints == (FINGERPRINT,)
        assert description.setup is DtlsSetup.PASSIVE
        assert description.ice_lite
        assert description.max_message_size == DEFAULT_MAX_MESSAGE_SIZE
        assert description.candidates == (
            IceCandidate("1", 1, "udp", 2122317823, "192.0.2.7", 57221, "host"),
        )

    def test_aiortc_writes_what_we_read(self):
        # aiortc's __str__ is what its RTCPeerConnection puts on the wire.
        written = str(aiortc.sdp.SessionDescription.parse(crlf(CHROMIUM)))
        assert SessionDescription.parse(written) == SessionDescription.parse(CHROMIUM)

    def test_the_section_comes_before_the_session(self):
        sdp = CHROMIUM.replace("t=0 0\n", "t=0 0\na=ice-ufrag:session\na=setup:passive\n")
        assert SessionDescription.parse(sdp) == SessionDescription.parse(CHROMIUM)


ice_chars = st.sampled_from("ABYZabyz0189+/")
addresses = st.one_of(
    st.ip_addresses().map(str),
    st.uuids().map(lambda uuid: f"{uuid}.local"),
).filter(lambda address: "%" not in address)
udp_candidates = st.builds(
    IceCandidate,
    foundation=st.text(ice_chars, min_size=1, max_size=32),
    component=st.integers(1, 256),
    transport=st.just("udp"),
    priority=st.integers(1, 2**31 - 1),
    address=addresses,
    port=st.integers(1, 65535),
    type=st.sampled_from(["host", "srflx", "prflx", "relay"]),
    related_address=st.none() | addresses,
    related_port=st.none() | st.integers(0, 65535),
)
candidates = udp_candidates | st.builds(
    replace,
    udp_candidates,
    transport=st.just("tcp"),
    port=st.integers(0, 65535),
    tcp_type=st.sampled_from([None, "active", "passive", "so"]),
)
fingerprints = st.sampled_from([("sha-256", 32), ("sha-384", 48), ("sha-512", 64)]).flatmap(
    lambda kind: st.builds(Fingerprint, st.just(kind[0]), st.binary(min_size=kind[1], max_size=kind[1]))
)
descriptions = st.builds(
    SessionDescription,
    ufrag=st.text(ice_chars, min_size=4, max_size=256),
    pwd=st.text(ice_chars, min_size=22, max_size=256),
    fingerprints=st.lists(fingerprints, min_size=1, max_size=3).map(tuple),
    setup=st.sampled_from(DtlsSetup),
    sctp_port=st.integers(1, 65535),
    max_message_size=st.integers(MIN_MESSAGE_SIZE, 2**31) | st.just(UNLIMITED_MESSAGE_SIZE),
    mid=st.text(st.sampled_from("azAZ09-_.~"), min_size=1, max_size=16),
    candidates=st.lists(candidates, max_size=4).map(tuple),
    end_of_candidates=st.booleans(),
    ice_lite=st.booleans(),
)


class TestRoundTrip:
    @given(descriptions)
    def test_description(self, description):
        assert SessionDescription.parse(description.to_sdp()) == description

    @given(candidates)
    def test_candidate(self, candidate):
        line = candidate.to_sdp()
        assert line.startswith("candidate:")
        for form in (line, f"a={line}", line.removeprefix("candidate:")):
            assert IceCandidate.from_sdp(form) == candidate

    @given(fingerprints)
    def test_fingerprint(self, fingerprint):
        assert Fingerprint.parse(fingerprint.to_sdp()) == fingerprint
        assert fingerprint.to_sdp() == f"{fingerprint.algorithm} {fingerprint.value}"

    @given(descriptions)
    def test_aiortc_reads_it(self, description):
        (media,) = aiortc.sdp.SessionDescription.parse(description.to_sdp()).media
        assert (media.kind, media.profile, media.fmt) == (
            "application",
            "UDP/DTLS/SCTP",
            ["webrtc-datachannel"],
        )
        assert (media.ice.usernameFragment, media.ice.password) == (description.ufrag, description.pwd)
        assert media.ice.iceLite == description.ice_lite
        assert [(f.algorithm, f.value) for f in media.dtls.fingerprints] == [
            (f.algorithm, f.value) for f in description.fingerprints
        ]
        assert aiortc.sdp.DTLS_ROLE_SETUP[media.dtls.role] == description.setup
        assert media.sctp_port == description.sctp_port
        assert media.rtp.muxId == description.mid
        assert media.ice_candidates_complete == description.end_of_candidates
        assert [(c.ip, c.port, c.protocol, c.type) for c in media.ice_candidates] == [
            (c.address, c.port, c.transport, c.type) for c in description.candidates
        ]


class TestWritten:
    def test_as_browsers_take_it(self):
        assert replace(MINIMAL, candidates=(HOST,), end_of_candidates=True).to_sdp() == crlf(f"""\
v=0
o=- 0 0 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:0
a=ice-options:trickle
a=ice-ufrag:abcd
a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaa
a=fingerprint:sha-256 {HEX}
a=setup:actpass
a=sctp-port:5000
a=max-message-size:16384
a=candidate:1 1 udp 2113937151 192.0.2.7 42772 typ host
a=end-of-candidates
""")

    def test_no_limit_is_written_as_zero(self):
        assert (
            "a=max-message-size:0\r\n" in replace(MINIMAL, max_message_size=UNLIMITED_MESSAGE_SIZE).to_sdp()
        )


class TestMaxMessageSize:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("0", UNLIMITED_MESSAGE_SIZE),
            (str(MIN_MESSAGE_SIZE), MIN_MESSAGE_SIZE),
            (str(2**64 - 1), UNLIMITED_MESSAGE_SIZE),
        ],
    )
    def test_is_read(self, text, size):
        sdp = CHROMIUM.replace("max-message-size:262144", f"max-message-size:{text}")
        assert SessionDescription.parse(sdp).max_message_size == size

    def test_absent(self):
        sdp = CHROMIUM.replace("a=max-message-size:262144\n", "")
        assert SessionDescription.parse(sdp).max_message_size == DEFAULT_MAX_MESSAGE_SIZE == 65536

    @pytest.mark.parametrize(
        "text", [str(MIN_MESSAGE_SIZE - 1), "1", "-1", "", "64k", "9" * 21, "１６３８４"]
    )
    def test_is_refused(self, text):
        sdp = CHROMIUM.replace("max-message-size:262144", f"max-message-size:{text}")
        with pytest.raises(InvalidSignal, match="max-message-size"):
            SessionDescription.parse(sdp)


class TestRefused:
    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ("v=0\n", "", "v=0"),
            ("s=-\n", "\n", "form"),
            ("s=-\n", "s=\r-\n", "control"),
            ("s=-\n", "s=\0\n", "control"),
            ("s=-\n", "s=\x85\n", "control"),
            ("s=-\n", "S=-\n", "form"),
            ("m=application 9", "m=audio 9", "webrtc-datachannel"),
            ("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000", "webrtc-datachannel"),
            ("m=application 9", "m=application 0", "port 0"),
            ("m=application", "x=application", "0 media sections"),
            ("a=mid:0\n", "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\n", "2 media sections"),
            ("a=ice-ufrag:DJaS\n", "", "0 attributes ice-ufrag"),
            ("a=ice-ufrag:DJaS\n", "a=ice-ufrag:DJaS\na=ice-ufrag:DJaS\n", "2 attributes ice-ufrag"),
            ("ufrag:DJaS", "ufrag:DJa", "ice-ufrag"),
            ("ufrag:DJaS", f"ufrag:{'a' * 257}", "ice-ufrag"),
            ("ufrag:DJaS", "ufrag:DJa-", "ice-ufrag"),
            ("pwd:eqVYVLVpdn9nlII2wrwFXm4l", f"pwd:{'a' * 21}", "ice-pwd"),
            ("pwd:eqVYVLVpdn9nlII2wrwFXm4l", f"pwd:{'a' * 257}", "ice-pwd"),
            ("sha-256", "sha-1", "no fingerprint"),
            ("sha-256", "sha-512", "64 bytes"),
            (":40\n", ":4\n", "AA:BB"),
            (":40\n", ":40:00\n", "32 bytes"),
            ("setup:actpass", "setup:holdconn", "setup"),
            ("a=setup:actpass\n", "", "setup"),
            ("sctp-port:5000", "sctp-port:0", "sctp-port"),
            ("sctp-port:5000", "sctp-port:65536", "sctp-port"),
            ("mid:0", "mid:a b", "mid"),
            ("mid:0", f"mid:{'a' * 17}", "mid"),
            ("42772 typ", "99999 typ", "port"),
        ],
    )
    def test_one_thing_wrong(self, old, new, problem):
        assert old in CHROMIUM
        with pytest.raises(InvalidSignal, match=problem):
            SessionDescription.parse(CHROMIUM.replace(old, new))

    @pytest.mark.parametrize("sdp", ["", "\n", "v=0", "hello"])
    def test_no_sdp_at_all(self, sdp):
        with pytest.raises(InvalidSignal):
            SessionDescription.parse(sdp)

    def test_a_description_without_fingerprint_can_not_be_made(self):
        with pytest.raises(InvalidSignal):
            replace(MINIMAL, fingerprints=())


class TestBounds:
    def test_length(self):
        longest = MINIMAL.to_sdp() + "a=x:".ljust(MAX_SDP_LENGTH - len(MINIMAL.to_sdp()), "x")
        assert SessionDescription.parse(longest) == MINIMAL
        with pytest.raises(InvalidSignal, match="characters"):
            SessionDescription.parse(longest + "x")

    def test_lines(self):
        sdp = MINIMAL.to_sdp()
        most = sdp + "a=x\n" * (MAX_SDP_LINES - sdp.count("\n"))
        assert SessionDescription.parse(most) == MINIMAL
        with pytest.raises(InvalidSignal, match="lines"):
            SessionDescription.parse(most + "a=x\n")

    def test_candidates(self):
        most = replace(MINIMAL, candidates=(HOST,) * MAX_REMOTE_CANDIDATES)
        assert SessionDescription.parse(most.to_sdp()) == most
        with pytest.raises(InvalidSignal, match="candidates"):
            SessionDescription.parse(most.to_sdp() + f"a={HOST.to_sdp()}\r\n")

    def test_candidate_length(self):
        longest = f"{HOST.to_sdp()} x ".ljust(MAX_CANDIDATE_LENGTH, "x")
        assert IceCandidate.from_sdp(longest) == HOST
        with pytest.raises(InvalidSignal, match="characters"):
            IceCandidate.from_sdp(longest + "x")


class TestCandidate:
    @pytest.mark.parametrize(
        ("line", "candidate"),
        [
            # node-datachannel
            ("a=candidate:1 1 UDP 2113937151 192.0.2.7 42772 typ host", HOST),
            # Chromium, trickled
            (
                "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ host generation 0 ufrag DJaS network-cost 999",
                HOST,
            ),
            # Firefox, behind a NAT
            (
                "candidate:3 1 UDP 1685987327 198.51.100.7 42772 typ srflx raddr 0.0.0.0 rport 0",
                replace(
                    HOST,
                    foundation="3",
                    priority=1685987327,
                    address="198.51.100.7",
                    type="srflx",
                    related_address="0.0.0.0",
                    related_port=0,
                ),
            ),
            (
                "candidate:4 1 tcp 1518280447 192.0.2.7 0 typ host tcptype active",
                IceCandidate("4", 1, "tcp", 1518280447, "192.0.2.7", 0, "host", tcp_type="active"),
            ),
        ],
    )
    def test_is_read(self, line, candidate):
        assert IceCandidate.from_sdp(line) == candidate

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "candidate:",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 type host",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ host generation",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ host\n",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ host\u2028",
            "candidate:1 1 udp ٣ 192.0.2.7 42772 typ host",
            "candidate:- 1 udp 2113937151 192.0.2.7 42772 typ host",
            f"candidate:{'1' * 33} 1 udp 2113937151 192.0.2.7 42772 typ host",
            "candidate:1 0 udp 2113937151 192.0.2.7 42772 typ host",
            "candidate:1 257 udp 2113937151 192.0.2.7 42772 typ host",
            "candidate:1 1 sctp 2113937151 192.0.2.7 42772 typ host",
            "candidate:1 1 udp 0 192.0.2.7 42772 typ host",
            "candidate:1 1 udp 2147483648 192.0.2.7 42772 typ host",
            "candidate:1 1 udp -1 192.0.2.7 42772 typ host",
            "candidate:1 1 udp 1e9 192.0.2.7 42772 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.777 42772 typ host",
            "candidate:1 1 udp 2113937151 fe80::1%eth0 42772 typ host",
            "candidate:1 1 udp 2113937151 example.com 42772 typ host",
            "candidate:1 1 udp 2113937151 a.b.local 42772 typ host",
            "candidate:1 1 udp 2113937151 -a.local 42772 typ host",
            f"candidate:1 1 udp 2113937151 {'a' * 64}.local 42772 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.7 0 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.7 65536 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ guest",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ srflx raddr example.com rport 1",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ srflx raddr 0.0.0.0 rport 65536",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ srflx raddr 0.0.0.0 rport x",
            "candidate:1 1 udp 2113937151 192.0.2.7 42772 typ host tcptype active",
            "candidate:1 1 tcp 2113937151 192.0.2.7 42772 typ host tcptype lazy",
        ],
    )
    def test_is_refused(self, line):
        with pytest.raises(InvalidSignal, match="candidate"):
            IceCandidate.from_sdp(line)


class TestHostile:
    @given(st.text(max_size=400))
    def test_any_text_as_description(self, text):
        with pytest.raises(InvalidSignal):
            SessionDescription.parse(text)

    @given(
        st.sampled_from([CHROMIUM, FIREFOX, LIBDATACHANNEL]),
        st.data(),
        st.one_of(
            st.text(max_size=20), st.sampled_from(["\r", "\n", "a=", "m=application", "0" * 5000, ":", " "])
        ),
    )
    def test_any_change_of_a_description(self, sdp, data, inserted):
        start = data.draw(st.integers(0, len(sdp)))
        end = data.draw(st.integers(start, min(len(sdp), start + 40)))
        try:
            description = SessionDescription.parse(sdp[:start] + inserted + sdp[end:])
        except InvalidSignal:
            return
        assert SessionDescription.parse(description.to_sdp()) == description

    @given(
        st.text(max_size=80)
        | st.lists(
            st.sampled_from(
                [
                    "candidate:",
                    "a=",
                    "1",
                    "udp",
                    "TCP",
                    "9" * 11,
                    "::1",
                    "x.local",
                    "typ",
                    "host",
                    "rport",
                    "so",
                ]
            )
            | st.text(max_size=5),
            max_size=14,
        ).map(" ".join)
    )
    def test_any_text_as_candidate(self, text):
        try:
            candidate = IceCandidate.from_sdp(text)
        except InvalidSignal:
            return
        assert IceCandidate.from_sdp(candidate.to_sdp()) == candidate
        if not candidate.address.lower().endswith(".local"):
            ipaddress.ip_address(candidate.address)

    @pytest.mark.parametrize(
        "text",
        [
            "v=0\n" + "a=" * 8000,
            "v=0\n" + "\r" * 16000,
            "v=0\n" + "m=\n" * 400,
            "v=0\na=candidate:" + " 1" * 8000,
        ],
    )
    def test_the_longest_lines_are_refused_like_any_other(self, text):
        with pytest.raises(InvalidSignal):
            SessionDescription.parse(text)
