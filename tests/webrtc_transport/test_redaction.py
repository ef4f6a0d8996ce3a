import pytest

from webrtc_transport.redaction import redacted


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ws://localhost:8765", "ws://localhost:8765"),
        ("wss://[2001:db8::1]/path", "wss://[2001:db8::1]/path"),
        ("ws://anna:SECRET@example.org:1/path", "ws://…@example.org:1/path"),
        ("ws://SECRET@example.org", "ws://…@example.org"),
        ("WSS://anna:SECRET@example.org", "WSS://…@example.org"),
        ("ws://example.org/?token=SECRET&b=SECRET", "ws://example.org/?…"),
        ("ws://example.org#SECRET", "ws://example.org#…"),
        ("ws://anna:SECRET@example.org/?token=SECRET", "ws://…@example.org/?…"),
        # Passwords that should have been percent-encoded.
        ("ws://anna:SEC/RET@example.org", "ws://…@example.org"),
        ("ws://anna:SEC@RET@example.org", "ws://…@example.org"),
        ("ws://anna:SEC?RET@example.org", "ws://…"),
        ("ws://anna:SEC#RET@example.org/?token=SECRET", "ws://…"),
        ("ws://example.org/?mail=a@b.org&token=SECRET", "ws://…"),
        # No URLs.
        ("anna:SECRET@example.org", "…@example.org"),
        ("localhost:8765", "localhost:8765"),
        ("ws://[", "ws://["),
        ("SEC\nRET@x\n?y", "…@x\n?…"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url, text):
    assert redacted(url) == text
    assert "SEC" not in text
