import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webrtc_transport.cli.transfer.short_code import EXAMPLE, InvalidCode, ShortCode, is_code_like
from webrtc_transport.identity import Identity


def test_a_code_reads_as_it_is_written():
    for _ in range(50):
        code = ShortCode.generate()
        assert ShortCode.parse(str(code)) == code
        assert len(str(code)) == 14
        assert is_code_like(str(code))


def test_codes_differ():
    assert len({str(ShortCode.generate()) for _ in range(1000)}) == 1000


def test_people_type_as_they_like():
    code = next(
        code for code in iter(ShortCode.generate, None) if "0" in code.symbols and "1" in code.symbols
    )
    sloppy = f" {str(code).lower().replace('0', 'o').replace('1', 'l').replace('-', ' ')} "
    assert ShortCode.parse(sloppy) == code


def test_the_example_is_a_code_and_a_broken_peer_id_is_none():
    assert str(ShortCode.parse(EXAMPLE)) == EXAMPLE
    assert not is_code_like("12D3KooWxx")
    assert is_code_like("12d3-koow-xxxx")


@pytest.mark.parametrize("text", ["", "7KQ2", "7KQ2-M4XD-9TRUU", "7KQ2-M4XD-9TR!", "Ü" * 12, "0" * 10_000])
def test_what_is_no_code(text):
    with pytest.raises(InvalidCode, match="is no code"):
        ShortCode.parse(text)


def test_typing_errors_are_noticed():
    code = ShortCode.generate()
    wrong = [
        code.symbols[:place] + symbol + code.symbols[place + 1 :]
        for place in range(12)
        for symbol in "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        if symbol != code.symbols[place]
    ]
    noticed = 0
    for text in wrong:
        try:
            ShortCode.parse(text)
        except InvalidCode:
            noticed += 1
    # 31 of 32 on the average; far fewer would be a broken check.
    assert noticed > 0.85 * len(wrong)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_code_or_an_error(text):
    try:
        ShortCode.parse(text)
    except InvalidCode:
        return
    assert is_code_like(text)


def test_both_ends_derive_the_same():
    code = ShortCode.generate()
    ours, theirs = code.derive(), ShortCode.parse(str(code).lower()).derive()
    assert ours.identity.peer_id == theirs.identity.peer_id
    sender, other = Identity.generate().peer_id, Identity.generate().peer_id
    proof = theirs.proof(sender)
    assert ours.is_proof(proof, sender)
    assert not ours.is_proof(proof, other)
    assert not ShortCode.generate().derive().is_proof(proof, sender)


def test_peer_ids_and_addresses_are_no_codes():
    peer_id = str(Identity.generate().peer_id)
    assert not is_code_like(peer_id)
    assert not is_code_like(f"/webrtc/p2p/{peer_id}")
