import sys
from importlib.util import find_spec, module_from_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_signaling.server.masking import compiled_mask, mask_as_integers, unmask

KEYS = st.binary(min_size=4, max_size=4)


def masked(payload, key):
    return bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


@pytest.mark.parametrize("mask", [compiled_mask(), mask_as_integers])
@given(st.binary(max_size=300), KEYS)
def test_a_mask_is_taken_off_with_its_key(mask, payload, key):
    data = bytearray(masked(payload, key))
    mask(key, data)
    assert data == payload


@given(st.binary(max_size=300), KEYS)
def test_of_any_kind_of_bytes(payload, key):
    assert unmask(masked(payload, key), key) == payload
    assert unmask(bytearray(masked(payload, key)), bytearray(key)) == payload


def test_without_aiohttps_it_works_as_well(monkeypatch):
    assert compiled_mask() is not None, "aiohttp has it elsewhere"
    monkeypatch.setitem(sys.modules, "aiohttp._websocket.helpers", None)
    found = find_spec("webrtc_signaling.server.masking")
    another = module_from_spec(found)
    found.loader.exec_module(another)
    assert another._mask is another.mask_as_integers
    assert another.unmask(masked(b"a payload", b"key4"), b"key4") == b"a payload"
