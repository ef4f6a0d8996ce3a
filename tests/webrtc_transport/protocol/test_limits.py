"""Limits follow from what they limit, and each is in use."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from webrtc_transport.protocol import limits
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.protocol.keys import encode_public_key

ROOT = Path(limits.__file__).parents[2]
LIMITS = sorted(name for name in vars(limits) if name.isupper())


def names_read(tree: ast.AST) -> set[str]:
    """Names that are read, or read as an attribute of a module. An import alone is no use."""
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    } | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.fixture(scope="module")
def used() -> set[str]:
    own = Path(limits.__file__)
    packages = [ROOT / "webrtc_transport", ROOT / "signaling", ROOT / "integrations"]
    sources = [path for package in packages for path in package.rglob("*.py") if path != own]
    used = set[str]().union(*(names_read(ast.parse(path.read_text("utf-8"))) for path in sources))
    # A term of a limit that is in use is in use itself.
    for node in reversed(ast.parse(own.read_text("utf-8")).body):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in used:
            used |= names_read(node)
    return used


class TestFrames:
    @pytest.mark.parametrize("flag", Flag)
    def test_overhead_of_a_full_frame(self, flag):
        frame = encode_frame(bytes(limits.MAX_FRAME_PAYLOAD), flag)
        assert len(frame) == limits.MAX_FRAME_LENGTH
        assert len(frame) - limits.MAX_FRAME_PAYLOAD == limits.FRAME_OVERHEAD

    def test_no_frame_has_more_overhead(self):
        overheads = {
            len(encode_frame(bytes(size), flag)) - size
            for size in (0, 1, 127, 128, 129, limits.MAX_FRAME_PAYLOAD)
            for flag in (None, *Flag)
        }
        assert max(overheads) == limits.FRAME_OVERHEAD

    def test_the_smallest_message_that_is_accepted_holds_a_frame(self):
        assert limits.MIN_MESSAGE_SIZE > limits.FRAME_OVERHEAD


@pytest.mark.parametrize("name", LIMITS)
def test_is_in_use(name, used):
    assert name in used


def test_each_says_why():
    body = ast.parse(Path(limits.__file__).read_text("utf-8")).body
    explained = {
        ast.unparse(node.target)
        for node, following in pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr)
    }
    # The payload is what the two explained limits above it leave.
    assert set(LIMITS) - explained <= {"MAX_FRAME_PAYLOAD"}


def test_the_largest_rsa_key_can_prove_a_description():
    key = RSAPublicNumbers(65537, 2**limits.MAX_RSA_BITS - 1).public_key()
    assert len(encode_public_key(key)) <= limits.MAX_PROOF_KEY_LENGTH
    assert limits.MAX_RSA_BITS // 8 <= limits.MAX_PROOF_SIGNATURE_LENGTH
