"""What schemathesis has to know of long-polls: bodies are lines, and a connection has to be there. It imports this."""

import base64
import http.client
import json
from urllib.parse import urlsplit

import schemathesis

from tests.webrtc_signaling.pollers import HEADER
from tests.webrtc_signaling.samples import ALICE, INSTANCE


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.hook
def before_call(_context, case, kwargs):
    """Where a connection is named at all, name one that is there and has registered, in half of the cases."""
    if case.path == "/poll" and HEADER in (case.headers or {}) and len(case.id) % 2 == ord(case.id[0]) % 2:
        case.headers[HEADER] = registered(urlsplit(kwargs.get("base_url") or case.operation.base_url))


def registered(url):
    """The name of a new connection."""
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)

    def post(body, headers):
        connection.request("POST", "/poll", body, headers)
        response = connection.getresponse()
        assert response.status in (200, 201), response.status
        return json.loads(response.read().splitlines()[0])

    challenge = post(b"", {})
    peer = str(ALICE.peer_id)
    payload = f"webrtc-signaling-register/1\n{challenge['nonce']}\n{peer}".encode()
    proof = {
        "public_key": base64.b64encode(ALICE.public_key.to_protobuf()).decode(),
        "signature": base64.b64encode(ALICE.sign(payload)).decode(),
    }
    message = {"version": 1, "type": "register", "peer": peer, "instance": INSTANCE, **proof}
    name = challenge["connection"]
    answer = post(json.dumps(message).encode(), {HEADER: name})
    assert answer["type"] == "registered", answer
    connection.close()
    return name
