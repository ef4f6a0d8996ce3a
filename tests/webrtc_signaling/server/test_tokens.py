"""What an operator's token lets in, and what it doesn't."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID
from webrtc_signaling.limits import MAX_TOKEN_LENGTH
from webrtc_signaling.server.auth import Refused
from webrtc_signaling.server.tokens import TokenKey, TokenVerifier, make_token
from webrtc_transport.errors import ConfigurationError

SECRET = b"0123456789abcdef0123456789abcdef"
SOON = 60


def pem(key, encryption=None):
    if hasattr(key, "private_bytes"):
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


ED25519 = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def load(tmp_path):
    def load(data):
        path = tmp_path / "key"
        path.write_bytes(data)
        path.chmod(0o600)
        return TokenKey.load(path)

    return load


@pytest.fixture(params=["HS256", "EdDSA"])
def key(request, load):
    return load(SECRET + b"\n" if request.param == "HS256" else pem(ED25519))


def expiry(seconds=SOON):
    return time.time() + seconds


def refusal(key, token, peer=ALICE_ID, audience=None):
    with pytest.raises(Refused) as caught:
        TokenVerifier(key, audience).verify(token, peer)
    assert token is None or token not in str(caught.value)
    return caught.value.code, str(caught.value)


def test_a_token_says_until_when(key):
    expires_at = expiry()
    token = make_token(key, expires_at=expires_at)
    assert TokenVerifier(key, None).verify(token, ALICE_ID) == int(expires_at)


def test_a_token_may_name_who_may_use_it(key):
    token = make_token(key, expires_at=expiry(), peers=[ALICE_ID])
    TokenVerifier(key, None).verify(token, ALICE_ID)
    assert refusal(key, token, BOB_ID) == ("invalid-token", f"the token isn't for {BOB_ID}")


def test_there_has_to_be_a_token(key):
    assert refusal(key, None)[0] == "token-required"


def test_an_expired_token_has_its_own_code(key):
    assert refusal(key, make_token(key, expires_at=expiry(-1)))[0] == "token-expired"


@pytest.mark.parametrize(
    ("made_for", "wanted", "is_good"),
    [
        ("us", "us", True),
        ("them", "us", False),
        (None, "us", False),
        # A server that has no audience must not take what was meant for one that has.
        ("them", None, False),
    ],
)
def test_the_token_of_another_tenant_is_refused(key, made_for, wanted, is_good):
    token = make_token(key, expires_at=expiry(), audience=made_for)
    if is_good:
        TokenVerifier(key, wanted).verify(token, ALICE_ID)
    else:
        assert refusal(key, token, audience=wanted) == (
            "invalid-token",
            "the token is refused: it is for another service (claim aud)",
        )


def test_another_key_is_no_good(key, load):
    other = (
        load(SECRET[::-1]) if key.algorithm == "HS256" else load(pem(ed25519.Ed25519PrivateKey.generate()))
    )
    code, reason = refusal(key, make_token(other, expires_at=expiry()))
    assert (code, "signature" in reason) == ("invalid-token", True)


def test_a_public_key_is_enough_to_check_and_too_little_to_sign(load):
    public = load(pem(ED25519.public_key()))
    token = make_token(load(pem(ED25519)), expires_at=expiry())
    TokenVerifier(public, None).verify(token, ALICE_ID)
    with pytest.raises(ConfigurationError, match="the private key"):
        make_token(public, expires_at=expiry())


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header, claims, secret=None):
    """A token by hand, because the library makes only those that make sense; without a secret it is unsigned."""
    unsigned = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{unsigned}.{'' if secret is None else encoded(hmac.digest(secret, unsigned.encode(), hashlib.sha256))}"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "EdDSA", "RS256", "", None, 7])
def test_the_token_does_not_choose_its_algorithm(load, algorithm):
    public = pem(ED25519.public_key())
    claims = {"exp": int(expiry())}
    token = signed({"alg": algorithm, "typ": "JWT"}, claims)
    assert refusal(load(public), token)[0] == "invalid-token"
    assert refusal(load(SECRET), token)[0] == "invalid-token"


def test_a_public_key_is_no_secret(load):
    """The classic confusion: HS256 with the text of the public key, which everybody may have."""
    public = pem(ED25519.public_key())
    for secret in (public, public.strip()):
        token = signed({"alg": "HS256"}, {"exp": int(expiry())}, secret)
        assert refusal(load(public), token)[0] == "invalid-token"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [1]},
        {"exp": -1},
        {"exp": 4e9, "nbf": 4e9},
        {"exp": 4e9, "peers": ALICE_ID},
        {"exp": 4e9, "peers": {ALICE_ID: 1}},
        {"exp": 4e9, "peers": [7, ALICE_ID]},
        {"exp": 4e9, "peers": []},
        {"exp": 4e9, "aud": 7},
        {"exp": 4e9, "aud": []},
        {"exp": 4e9, "sub": 7},
    ],
)
def test_claims_that_make_no_sense_let_nobody_in(load, claims):
    token = signed({"alg": "HS256", "typ": "JWT"}, claims, SECRET)
    assert refusal(load(SECRET), token)[0] in ("invalid-token", "token-expired")


def test_a_token_that_is_good_for_ever_has_a_time_all_the_same(load):
    token = jwt.encode({"exp": 10**400}, SECRET, algorithm="HS256")
    code, _ = refusal(load(SECRET), token)
    assert code == "invalid-token"
    assert TokenVerifier(load(SECRET), None).verify(jwt.encode({"exp": 10**300}, SECRET), ALICE_ID) == 2.0**53


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é",
        "\0",
        "x" * MAX_TOKEN_LENGTH,
        "." * MAX_TOKEN_LENGTH,
        # A header that nests as deep as a token is long.
        base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=") + ".e30.",
        base64.urlsafe_b64encode(b'{"a":' * 600).decode().rstrip("=") + ".e30.",
        base64.urlsafe_b64encode(b'{"alg":' + b"9" * 3000).decode().rstrip("=") + ".e30.",
    ],
)
def test_what_is_no_token_is_refused(key, token):
    with pytest.raises(Refused) as caught:
        TokenVerifier(key, None).verify(token, ALICE_ID)
    assert caught.value.code == "invalid-token"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty, where the token key should be"),
        (b" \n", "is empty"),
        (b"secret", "has 6 bytes, and needs 32; for HS256 make one with `openssl rand"),
        (b"x" * 70_000, "is no token key: it has 70000 bytes"),
        (b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 40, "is no unencrypted key in PEM"),
        (pem(ED25519, BestAvailableEncryption(b"password")), "is no unencrypted key in PEM"),
        (pem(rsa.generate_private_key(65537, 2048)), "is in PEM, and no Ed25519 key"),
        (pem(rsa.generate_private_key(65537, 2048).public_key()), "is in PEM, and no Ed25519 key"),
    ],
    ids=["empty", "blank", "short", "large", "cut", "encrypted", "RSA", "RSA, public"],
)
def test_a_key_that_is_none_is_told_in_one_line_and_not_shown(load, data, reason):
    with pytest.raises(ConfigurationError) as caught:
        load(data)
    message = str(caught.value)
    assert reason in message
    assert "\n" not in message
    assert "secret" not in message.replace("a secret", "")


def test_a_key_is_not_shown(key):
    assert "0123456789abcdef" not in repr(key)
