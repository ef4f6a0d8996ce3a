from __future__ import annotations

import contextlib
import copy
import stat
import threading
from pathlib import Path

import multibase
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from webrtc_transport.errors import IdentityError
from webrtc_transport.identity import Identity, KeyType, PeerId, PublicKey
from webrtc_transport.protocol.protobuf import decode_message, encode_message

VECTORS = {
    KeyType.ECDSA: (
        bytes.fromhex(
            "08031279307702010104203e5b1fe9712e6c314942a750bd67485de3c1efe85b1bfb520ae8f9ae3dfa4a4ca00a06082a"
            "8648ce3d030107a14403420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f"
            "8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"
        ),
        bytes.fromhex(
            "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44"
            "abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"
        ),
    ),
    KeyType.ED25519: (
        bytes.fromhex(
            "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4"
            "b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
        ),
        bytes.fromhex("080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"),
    ),
    KeyType.SECP256K1: (
        bytes.fromhex("0802122053dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb"),
        bytes.fromhex("08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"),
    ),
    KeyType.RSA: (
        bytes.fromhex(
            "080012ae123082092a0201000282020100e1beab071d08200bde24eef00d049449b07770ff9910257b2d7d5dda242ce8"
            "f0e2f12e1af4b32d9efd2c090f66b0f29986dbb645dae9880089704a94e5066d594162ae6ee8892e6ec70701db0a6c44"
            "5c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0ab3aeb1873282bebd3da03c33e76c21e9beb172fd4"
            "4c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395ad941256542c793902185153c474bed109d6ff5141"
            "ebf9cd256cf58893a37f83729f97e7cb435ec679d2e33901d27bb35aa0d7e20561da08885ef0abbf8e2fb48d6a548704"
            "7a9ecb1ad41fa7ed84f6e3e8ecd5d98b3982d2a901b4454991766da295ab78822add5612a2df83bcee814cf50973e80d"
            "7ef38111b1bd87da2ae92438a2c8cbcc70b31ee319939a3b9c761dbc13b5c086d6b64bf7ae7dacc14622375d92a8ff9a"
            "f7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeffd7ac1e3fbcc6b6168c34be3d5a2e5999fcbb39bba7"
            "adbca78eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb04a9580b4753c1738a6a760ae1afd851a1a4bdad23"
            "1cf56e9284d832483df215a46c1c21bdf0c6cfe951c18f1ee4078c79c13d63edb6e14feaeffabc90ad317e4875fe6481"
            "01b0864097e998f0ca3025ef9638cd2b0caecd3770ab54a1d9c6ca959b0f5dcbc90caeefc4135baca6fd475224269bbe"
            "1b02030100010282020100a472ffa858efd8588ce59ee264b957452f3673acdf5631d7bfd5ba0ef59779c231b0bc838a"
            "8b14cae367b6d9ef572c03c7883b0a3c652f5c24c316b1ccfd979f13d0cd7da20c7d34d9ec32dfdc81ee7292167e706d"
            "705efde5b8f3edfcba41409e642f8897357df5d320d21c43b33600a7ae4e505db957c1afbc189d73f0b5d972d9aaaeeb"
            "232ca20eebd5de6fe7f29d01470354413cc9a0af1154b7af7c1029adcd67c74b4798afeb69e09f2cb387305e73a1b5f4"
            "50202d54f0ef096fe1bde340219a1194d1ac9026e90b366cce0c59b239d10e4888f52ca1780824d39ae01a6b9f4dd605"
            "9191a7f12b2a3d8db3c2868cd4e5a5862b8b625a4197d52c6ac77710116ebd3ced81c4d91ad5fdfbed68312ebce7eea4"
            "5c1833ca3acf7da2052820eacf5c6b07d086dabeb893391c71417fd8a4b1829ae2cf60d1749d0e25da19530d889461c2"
            "1da3492a8dc6ccac7de83ac1c2185262c7473c8cc42f547cc9864b02a8073b6aa54a037d8c0de3914784e6205e83d979"
            "18b944f11b877b12084c0dd1d36592f8a4f8b8da5bb404c3d2c079b22b6ceabfbcb637c0dbe0201f0909d533f8bf308a"
            "da47aee641a012a494d31b54c974e58b87f140258258bb82f31692659db7aa07e17a5b2a0832c24e122d3a8babcc9ee7"
            "4cbb07d3058bb85b15f6f6b2674aba9fd34367be9782d444335fbed31e3c4086c652597c27104938b47fa10282010100"
            "e9fdf843c1550070ca711cb8ff28411466198f0e212511c3186623890c0071bf6561219682fe7dbdfd81176eba7c4fab"
            "a21614a20721e0fcd63768e6d925688ecc90992059ac89256e0524de90bf3d8a052ce6a9f6adafa712f3107a016e20c8"
            "0255c9e37d8206d1bc327e06e66eb24288da866b55904fd8b59e6b2ab31bc5eab47e597093c63fab7872102d57b4c589"
            "c66077f534a61f5f65127459a33c91f6db61fc431b1ae90be92b4149a3255291baf94304e3efb77b1107b5a3bda91135"
            "9c40a53c347ff9100baf8f36dc5cd991066b5bdc28b39ed644f404afe9213f4d31c9d4e40f3a5f5e3c39bebeb244e841"
            "37544e1a1839c1c8aaebf0c78a7fad590282010100f6fa1f1e6b803742d5490b7441152f500970f46feb0b73a6e4baba"
            "2aaf3c0e245ed852fc31d86a8e46eb48e90fac409989dfee45238f97e8f1f8e83a136488c1b04b8a7fb695f37b861630"
            "7ff8a8d63e8cfa0b4fb9b9167ffaebabf111aa5a4344afbabd002ae8961c38c02da76a9149abdde93eb389eb32595c29"
            "ba30d8283a7885218a5a9d33f7f01dbdf85f3aad016c071395491338ec318d39220e1c7bd69d3d6b520a13a30d745c10"
            "2b827ad9984b0dd6aed73916ffa82a06c1c111e7047dcd2668f988a0570a71474992eecf416e068f029ec323d5d635fd"
            "24694fc9bf96973c255d26c772a95bf8b7f876547a5beabf86f06cd21b67994f944e7a5493028201010095b02fd30069"
            "e547426a8bea58e8a2816f33688dac6c6f6974415af8402244a22133baedf34ce499d7036f3f19b38eb00897c18949b0"
            "c5a25953c71aeeccfc8f6594173157cc854bd98f16dffe8f28ca13b77eb43a2730585c49fc3f608cd811bb54b03b84bd"
            "daa8ef910988567f783012266199667a546a18fd88271fbf63a45ae4fd4884706da8befb9117c0a4d73de5172f8640b1"
            "091ed8a4aea3ed4641463f5ff6a5e3401ad7d0c92811f87956d1fd5f9a1d15c7f3839a08698d9f35f9d966e5000f7cb2"
            "655d7b6c4adcd8a9d950ea5f61bb7c9a33c17508f9baa313eecfee4ae493249ebe05a5d7770bbd3551b2eeb752e3649e"
            "0636de08e3d672e66cb90282010100ad93e4c31072b063fc5ab5fe22afacece775c795d0efdf7c704cfc027bde0d626a"
            "7646fc905bb5a80117e3ca49059af14e0160089f9190065be9bfecf12c3b2145b211c8e89e42dd91c38e9aa23ca73697"
            "063564f6f6aa6590088a738722df056004d18d7bccac62b3bafef6172fc2a4b071ea37f31eff7a076bcab7dd144e51a9"
            "da8754219352aef2c73478971539fa41de4759285ea626fa3c72e7085be47d554d915bbb5149cb6ef835351f23104304"
            "9cd941506a034bf2f8767f3e1e42ead92f91cb3d75549b57ef7d56ac39c2d80d67f6a2b4ca192974bfc5060e2dd17121"
            "7971002193dba12e7e4133ab201f07500a90495a38610279b13a48d54f0c99028201003e3a1ac0c2b67d54ed5c4bbe04"
            "a7db99103659d33a4f9d35809e1f60c282e5988dddc964527f3b05e6cc890eab3dcb571d66debf3a5527704c87264b39"
            "54d7265f4e8d2c637dd89b491b9cf23f264801f804b90454d65af0c4c830d1aef76f597ef61b26ca857ecce9cb78d4f6"
            "c2218c00d2975d46c2b013fbf59b750c3b92d8d3ed9e6d1fd0ef1ec091a5c286a3fe2dead292f40f380065731e2079eb"
            "b9f2a7ef2c415ecbb488da98f3a12609ca1b6ec8c734032c8bd513292ff842c375d4acd1b02dfb206b24cd815f8e2f9d"
            "4af8e7dea0370b19c1b23cc531d78b40e06e1119ee2e08f6f31c6e2e8444c568d13c5d451a291ae0c9f1d4f27d23b3a0"
            "0d60ad"
        ),
        bytes.fromhex(
            "080012a60430820222300d06092a864886f70d01010105000382020f003082020a0282020100e1beab071d08200bde24"
            "eef00d049449b07770ff9910257b2d7d5dda242ce8f0e2f12e1af4b32d9efd2c090f66b0f29986dbb645dae988008970"
            "4a94e5066d594162ae6ee8892e6ec70701db0a6c445c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0"
            "ab3aeb1873282bebd3da03c33e76c21e9beb172fd44c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395"
            "ad941256542c793902185153c474bed109d6ff5141ebf9cd256cf58893a37f83729f97e7cb435ec679d2e33901d27bb3"
            "5aa0d7e20561da08885ef0abbf8e2fb48d6a5487047a9ecb1ad41fa7ed84f6e3e8ecd5d98b3982d2a901b4454991766d"
            "a295ab78822add5612a2df83bcee814cf50973e80d7ef38111b1bd87da2ae92438a2c8cbcc70b31ee319939a3b9c761d"
            "bc13b5c086d6b64bf7ae7dacc14622375d92a8ff9af7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeff"
            "d7ac1e3fbcc6b6168c34be3d5a2e5999fcbb39bba7adbca78eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb"
            "04a9580b4753c1738a6a760ae1afd851a1a4bdad231cf56e9284d832483df215a46c1c21bdf0c6cfe951c18f1ee4078c"
            "79c13d63edb6e14feaeffabc90ad317e4875fe648101b0864097e998f0ca3025ef9638cd2b0caecd3770ab54a1d9c6ca"
            "959b0f5dcbc90caeefc4135baca6fd475224269bbe1b0203010001"
        ),
    ),
}
"""Private and public key messages of libp2p's specs, ``peer-ids/peer-ids.md``, "Test vectors"."""

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@pytest.fixture(params=KEYS.values(), ids=KEYS)
def identity(request: pytest.FixtureRequest) -> Identity:
    return Identity.from_private_key(request.param)


# --- peer ids ----------------------------------------------------------------------------------------------------

CID = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
BASE58_SHA256 = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
BASE58_INLINE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def test_the_cid_and_the_base58_form_name_the_same_peer() -> None:
    assert PeerId.from_string(CID) == PeerId.from_string(BASE58_SHA256)
    assert str(PeerId.from_string(CID)) == BASE58_SHA256


@pytest.mark.parametrize("text", [BASE58_SHA256, BASE58_INLINE])
@pytest.mark.parametrize("base", ["base16", "base32", "base32upper", "base36", "base58btc", "base64url"])
def test_a_cid_may_be_in_any_base(text: str, base: str) -> None:
    peer = PeerId.from_string(text)
    cid = multibase.encode(base, b"\x01\x72" + peer.multihash).decode()
    assert PeerId.from_string(cid) == peer


def test_peer_ids_are_values() -> None:
    peer = PeerId.from_string(BASE58_INLINE)
    assert {peer, PeerId(peer.multihash), copy.copy(peer)} == {peer}
    assert repr(peer) == f"PeerId('{BASE58_INLINE}')"
    assert not hasattr(peer, "__dict__")
    with pytest.raises(AttributeError):
        peer.multihash = b""  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "1",
        "12D3KooW",
        BASE58_SHA256[:-1],
        BASE58_SHA256 + "1",
        f" {BASE58_SHA256}",
        f"{BASE58_SHA256} ",
        f"{BASE58_SHA256}\n",
        BASE58_SHA256.replace("c", "0"),
        CID[:-1],
        "bafybeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
        "z" + BASE58_SHA256,
        "👍",
        "\ud800",
        "b\ud800",
        "xyz",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(IdentityError, match="is no peer id"):
        PeerId.from_string(text)


def test_long_text_is_refused_at_once() -> None:
    with pytest.raises(IdentityError, match="more than 128 characters") as caught:
        PeerId.from_string("1" * 10_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "multihash",
    [
        b"",
        b"\x12\x20",
        b"\x12\x20" + bytes(31),
        b"\x12\x20" + bytes(33),
        b"\x12\x1f" + bytes(31),
        b"\x11\x14" + bytes(20),
        b"\x00\x00",
        b"\x00\x2b" + bytes(43),
        b"\x00\x05" + bytes(4),
        b"\x00\x00" + bytes(256),
    ],
)
def test_other_multihashes_are_refused(multihash: bytes) -> None:
    with pytest.raises(IdentityError, match="a peer id is"):
        PeerId(multihash)


digests = st.binary(min_size=32, max_size=32).map(b"\x12\x20".__add__)
inline = st.binary(min_size=1, max_size=42).map(lambda data: bytes([0, len(data)]) + data)


@given(digests | inline)
def test_every_peer_id_survives_its_text(multihash: bytes) -> None:
    peer = PeerId(multihash)
    assert PeerId.from_string(str(peer)) == peer
    assert PeerId.from_string(multibase.encode("base32", b"\x01\x72" + multihash).decode()) == peer


@given(
    st.text()
    | st.text(st.characters(max_codepoint=127), max_size=140)
    | st.from_regex(r"(1|Qm|b|k)[a-z0-9]+")
)
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(IdentityError):
        PeerId.from_string(text)


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", KeyType)
def test_keys_of_the_specification(key_type: KeyType) -> None:
    private, public = VECTORS[key_type]
    identity = Identity.from_protobuf(private)
    assert identity.to_protobuf() == private
    assert identity.public_key.to_protobuf() == public
    assert identity.public_key == PublicKey.from_protobuf(public)
    assert identity.public_key.key_type is key_type
    identity.public_key.verify(identity.sign(b"data"), b"data")


def test_a_short_key_is_its_own_hash_and_a_long_one_is_hashed() -> None:
    assert str(PublicKey.from_protobuf(VECTORS[KeyType.ED25519][1]).peer_id).startswith("12D3KooW")
    assert str(PublicKey.from_protobuf(VECTORS[KeyType.SECP256K1][1]).peer_id).startswith("16Uiu2HA")
    assert str(PublicKey.from_protobuf(VECTORS[KeyType.ECDSA][1]).peer_id).startswith("Qm")
    assert str(PublicKey.from_protobuf(VECTORS[KeyType.RSA][1]).peer_id).startswith("Qm")


def test_signatures_are_of_one_key_and_one_text(identity: Identity) -> None:
    signature = identity.sign(b"data")
    identity.public_key.verify(signature, b"data")
    for key, wrong, data in [
        (identity.public_key, signature, b"date"),
        (identity.public_key, signature[:-1], b"data"),
        (identity.public_key, b"", b"data"),
        (Identity.generate().public_key, signature, b"data"),
    ]:
        with pytest.raises(IdentityError, match=f"isn't by {key.peer_id}"):
            key.verify(wrong, data)


def test_keys_survive_the_wire_and_the_file(identity: Identity, tmp_path: Path) -> None:
    assert PublicKey.from_protobuf(identity.public_key.to_protobuf()) == identity.public_key
    assert Identity.from_protobuf(identity.to_protobuf()).public_key == identity.public_key
    identity.save(tmp_path / "key.pem")
    assert Identity.load(tmp_path / "key.pem").public_key == identity.public_key
    (tmp_path / "key.bin").write_bytes(identity.to_protobuf())
    assert Identity.load(tmp_path / "key.bin").public_key == identity.public_key


def test_a_peer_id_matches_one_key(identity: Identity) -> None:
    assert identity.peer_id.matches(identity.public_key)
    assert identity.peer_id == PeerId.from_public_key(identity.public_key)
    assert not identity.peer_id.matches(Identity.generate().public_key)


def test_public_keys_are_values(identity: Identity) -> None:
    again = PublicKey.from_protobuf(identity.public_key.to_protobuf())
    assert {again, identity.public_key} == {again}
    assert again != Identity.generate().public_key
    assert again != again.to_protobuf()


def test_secp256k1_signatures_have_the_low_s_that_js_demands() -> None:
    identity = Identity(KEYS["secp256k1"])
    for number in range(32):
        _, s = decode_dss_signature(identity.sign(bytes([number])))
        assert s <= SECP256K1_ORDER // 2


def test_secp256k1_signatures_with_high_s_are_taken_as_go_takes_them() -> None:
    identity = Identity(KEYS["secp256k1"])
    r, s = decode_dss_signature(identity.sign(b"data"))
    identity.public_key.verify(encode_dss_signature(r, SECP256K1_ORDER - s), b"data")


@pytest.mark.parametrize("bits", [1024, 2047])
def test_small_rsa_keys_are_refused(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    with pytest.raises(IdentityError, match=f"2048 to 8192 bits here, not {bits}"):
        Identity.from_private_key(key)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(IdentityError, match="2048 to 8192 bits"):
        PublicKey.from_protobuf(encode_message(KeyType.RSA, der))


def test_large_rsa_keys_are_refused() -> None:
    numbers = rsa.RSAPublicNumbers(65537, 2**8192 + 1)
    der = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(IdentityError, match="2048 to 8192 bits here, not 8193"):
        PublicKey.from_protobuf(encode_message(KeyType.RSA, der))


def test_other_curves_are_refused() -> None:
    with pytest.raises(IdentityError, match="the curve secp224r1 isn't supported; use"):
        Identity.from_private_key(ec.generate_private_key(ec.SECP224R1()))


def der(name: str) -> bytes:
    return KEYS[name].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


ED25519_PUBLIC = VECTORS[KeyType.ED25519][1]
SECP256K1_POINT = KEYS["secp256k1"].public_key()


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "lacks the type or the data"),
        (ED25519_PUBLIC[:2], "lacks the type or the data"),
        (ED25519_PUBLIC[2:], "lacks the type or the data"),
        (ED25519_PUBLIC[:-1], "no libp2p key message"),
        (b"\x0a", "no libp2p key message"),
        (encode_message(4, b""), r"of a type that libp2p doesn't have \(4\)"),
        (encode_message(KeyType.ED25519, bytes(31)), "the ED25519 public key is malformed"),
        (encode_message(KeyType.SECP256K1, bytes(33)), "the SECP256K1 public key is malformed"),
        (encode_message(KeyType.SECP256K1, b"\x02" + b"\xff" * 32), "the SECP256K1 public key is malformed"),
        (encode_message(KeyType.ECDSA, b"\x30"), "the ECDSA public key is malformed"),
        (encode_message(KeyType.RSA, b""), "the RSA public key is malformed"),
        (bytes(10_000), "at most 8192 bytes"),
    ],
)
def test_malformed_public_keys_are_refused(message: bytes, problem: str) -> None:
    with pytest.raises(IdentityError, match=problem):
        PublicKey.from_protobuf(message)


@pytest.mark.parametrize(
    "message",
    [
        ED25519_PUBLIC + b"\x18\x00",
        ED25519_PUBLIC[2:] + ED25519_PUBLIC[:2],
        b"\x08\x00" + ED25519_PUBLIC,
        encode_message(KeyType.RSA, der("p256")),
        encode_message(KeyType.ECDSA, der("rsa")),
        encode_message(KeyType.ECDSA, der("secp256k1")),
        encode_message(KeyType.ECDSA, der("ed25519")),
        encode_message(
            KeyType.SECP256K1, SECP256K1_POINT.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        ),
    ],
    ids=[
        "extra",
        "order",
        "twice",
        "ec-as-rsa",
        "rsa-as-ec",
        "secp256k1-as-ec",
        "ed25519-as-ec",
        "uncompressed",
    ],
)
def test_a_key_has_one_encoding(message: bytes) -> None:
    with pytest.raises(IdentityError, match="isn't encoded as libp2p's specification demands"):
        PublicKey.from_protobuf(message)


def test_keys_that_libp2p_does_not_have_are_refused() -> None:
    key = ed448.Ed448PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(IdentityError, match="isn't encoded as"):
        PublicKey.from_protobuf(encode_message(KeyType.ECDSA, public))
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(IdentityError, match="of another kind inside"):
        Identity.from_protobuf(encode_message(KeyType.ECDSA, private))


@given(st.binary() | st.builds(encode_message, st.integers(0, 5), st.binary()))
def test_no_key_message_raises_anything_else(message: bytes) -> None:
    for parse in (PublicKey.from_protobuf, Identity.from_protobuf):
        with contextlib.suppress(IdentityError):
            parse(message)


@pytest.mark.parametrize("key_type", KeyType)
@settings(deadline=None, max_examples=30)  # OpenSSL looks for the primes in an RSA private key
@given(data=st.data())
def test_no_damaged_key_raises_anything_else(key_type: KeyType, data: st.DataObject) -> None:
    for message, parse in zip(
        VECTORS[key_type], (Identity.from_protobuf, PublicKey.from_protobuf), strict=True
    ):
        damaged = bytearray(message)
        damaged[data.draw(st.integers(0, min(len(damaged), 60) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(IdentityError):
            parse(bytes(damaged))


@given(st.binary())
def test_no_signature_raises_anything_else(signature: bytes) -> None:
    for key in KEYS.values():
        with pytest.raises(IdentityError):
            PublicKey(key.public_key()).verify(signature, b"data")


# --- private keys ------------------------------------------------------------------------------------------------

ED25519_PRIVATE = VECTORS[KeyType.ED25519][0]


def test_the_old_form_of_ed25519_keys_is_read() -> None:
    _, pair = decode_message(ED25519_PRIVATE)
    assert pair is not None
    old = encode_message(KeyType.ED25519, pair + pair[32:])
    assert Identity.from_protobuf(old).to_protobuf() == ED25519_PRIVATE


def test_the_short_form_of_py_libp2p_is_read() -> None:
    _, pair = decode_message(ED25519_PRIVATE)
    assert pair is not None
    short = encode_message(KeyType.ED25519, pair[:32])
    assert Identity.from_protobuf(short).to_protobuf() == ED25519_PRIVATE


@pytest.mark.parametrize(
    "data",
    [bytes(31), bytes(33), bytes(64), bytes(96), decode_message(ED25519_PRIVATE)[1] + bytes(32)],
)
def test_ed25519_halves_belong_together(data: bytes) -> None:
    with pytest.raises(IdentityError, match="the ED25519 private key is malformed"):
        Identity.from_protobuf(encode_message(KeyType.ED25519, data))


@pytest.mark.parametrize("data", [b"", b"\x01", bytes(32), b"\xff" * 32, bytes(32) + b"\x01"])
def test_secp256k1_keys_are_in_range(data: bytes) -> None:
    with pytest.raises(IdentityError, match="the SECP256K1 private key is malformed"):
        Identity.from_protobuf(encode_message(KeyType.SECP256K1, data))


def test_a_private_key_is_of_the_type_that_it_says() -> None:
    _, data = decode_message(VECTORS[KeyType.RSA][0])
    with pytest.raises(IdentityError, match="the ECDSA private key is of another kind inside"):
        Identity.from_protobuf(encode_message(KeyType.ECDSA, data))


def test_a_new_identity_is_ed25519_and_new() -> None:
    first, second = Identity.generate(), Identity.generate()
    assert first.public_key.key_type is KeyType.ED25519
    assert first.peer_id != second.peer_id


def test_repr_names_the_peer_and_keeps_the_key_secret(identity: Identity) -> None:
    assert repr(identity) == str(identity) == f"<Identity {identity.peer_id}>"
    assert str(identity.peer_id) in repr(identity.public_key)


# --- files -------------------------------------------------------------------------------------------------------


def test_a_saved_key_is_pem_that_only_its_owner_can_read(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    identity.save(path)
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        Identity.generate().save(path, overwrite=False)
    assert Identity.load(path).peer_id == identity.peer_id


def test_pem_of_other_tools_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    pem = KEYS["rsa"].private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path.write_bytes(b"a comment\n" + pem)
    assert Identity.load(path).public_key == PublicKey(KEYS["rsa"].public_key())


def encrypted_pem() -> bytes:
    return KEYS["p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))


def public_pem() -> bytes:
    return KEYS["p256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def ed448_pem() -> bytes:
    return ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"hello", "this is text, and no private key in PEM"),
        (b"\xffhello", "no libp2p key message"),
        (encrypted_pem(), "encrypted; decrypt it with `openssl pkey"),
        (public_pem(), "no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\n", "no usable private key"),
        (ed448_pem(), "libp2p doesn't have; use Ed25519"),
    ],
    ids=["empty", "text", "bytes", "encrypted", "public", "cut", "ed448"],
)
def test_a_file_without_a_usable_key_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    for load in (Identity.load, Identity.load_or_create):
        with pytest.raises(
            IdentityError, match=rf"key\.pem: .*{problem}.* \(restore the file; or move it away"
        ):
            load(path)
    assert path.read_bytes() == content


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Identity.load(tmp_path / "key.pem")


def test_load_or_create_makes_one_identity(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first = Identity.load_or_create(path)
    assert Identity.load_or_create(str(path)).peer_id == first.peer_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_load_or_create_gives_all_who_race_the_same_identity(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    start = threading.Barrier(8)
    peers: list[PeerId] = []

    def run() -> None:
        start.wait()
        peers.append(Identity.load_or_create(path).peer_id)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(peers) == 8
    assert len(set(peers)) == 1
