"""Credentials for TURN: how they are made, who gets them, and what a real coturn makes of them."""

import base64
import hashlib
import hmac
import time

import anyio
import pytest

from tests.docs.pages import DOCS, blocks
from tests.logs import LOGGER
from tests.pairs import config
from tests.webrtc_signaling.browsers import serve
from tests.webrtc_signaling.pollers import registered
from tests.webrtc_signaling.samples import ALICE, ALICE_ID, INSTANCE
from tests.webrtc_signaling.servers import signaling_server
from tests.webrtc_transport.engine.turn_server import turn_server
from webrtc_signaling import RendezvousServer
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.server.tokens import TokenKey, make_token
from webrtc_signaling.server.turn_credentials import TurnCredentials
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.errors import ConfigurationError, ConnectError

pytestmark = pytest.mark.anyio
SECRET = "a shared secret"
URL = "turn:turn.example.org"
GUIDE = DOCS / "how-to" / "signaling-access.md"


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "turn.secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def coturn(tmp_path_factory):
    """As the guide tells to set it up."""
    [shown] = (block.text for block in blocks(GUIDE) if block.language == "ini")
    assert "static-auth-secret=change-me" in shown
    users = [f"--{line}" for line in shown.replace("change-me", SECRET).split("\n") if line]
    with turn_server(tmp_path_factory.mktemp("turn"), users=users) as server:
        yield server


def of(**settings):
    return TurnCredentials.of(ServerSettings(**settings))


def test_they_end_in_time_and_name_their_peer(secret_file):
    turn = of(turn_urls=[URL, f"{URL}?transport=tcp"], turn_secret_file=secret_file, turn_lifetime=60)
    made = turn.make(ALICE_ID, 1000.7)
    assert made.lifetime == 60
    [server] = made.servers
    assert server.urls == (URL, f"{URL}?transport=tcp")
    assert server.username == f"1060:{ALICE_ID}"
    digest = hmac.new(SECRET.encode(), server.username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(server.credential) == digest
    assert server.credential not in repr(made)


@pytest.mark.parametrize(("until", "lifetime"), [(2000.0, 60), (1010.9, 10), (1001.8, 1)])
def test_they_end_with_the_token(secret_file, until, lifetime):
    turn = of(turn_urls=[URL], turn_secret_file=secret_file, turn_lifetime=60)
    made = turn.make(ALICE_ID, 1000.7, until=until)
    assert made.lifetime == lifetime
    assert made.servers[0].username == f"{1000 + lifetime}:{ALICE_ID}"


@pytest.mark.parametrize("until", [1001.6, 1000.7, 0.0])
def test_a_token_that_ends_now_is_worth_none(secret_file, until):
    turn = of(turn_urls=[URL], turn_secret_file=secret_file, turn_lifetime=60)
    made = turn.make(ALICE_ID, 1000.7, until=until)
    assert (made.servers, made.lifetime) == ((), 0)


def test_settings_that_do_not_fit_are_told(secret_file, tmp_path):
    assert of() is None
    for settings, reason in (
        ({"turn_urls": [URL]}, "turn_urls is set, and no turn_secret_file"),
        ({"turn_secret_file": secret_file}, "turn_secret_file is set, and no turn_urls"),
        ({"turn_urls": ["example.org"], "turn_secret_file": secret_file}, "turn_urls: .*example.org"),
        ({"turn_urls": ["stun:example.org"], "turn_secret_file": secret_file}, "turn_urls: stun:example.org"),
        ({"turn_urls": [URL] * 17, "turn_secret_file": secret_file}, "clients take 16 URLs"),
        ({"turn_urls": [URL], "turn_secret_file": tmp_path / "x"}, "the TURN secret can't be read"),
    ):
        with pytest.raises(ConfigurationError, match=reason) as caught:
            of(**settings)
        assert SECRET not in str(caught.value)


ASK = {"version": 1, "type": "get-ice-servers", "seq": 1, "ack": 0}


async def test_who_asks_is_answered_by_websocket_and_by_polls(secret_file):
    settings = {"turn_urls": [URL], "turn_secret_file": secret_file, "turn_lifetime": 60}
    async with serve(**settings) as server:
        async with server.browser() as alice:
            assert (await alice.register())["turn"] is True
            await alice.send_json(ASK)
            answer = await alice.receive()
            assert (answer["type"], answer["seq"], answer["lifetime"]) == ("ice-servers", 1, 60)
            [ice_server] = answer["servers"]
            assert ice_server["urls"] == [URL]
        poller = await registered(server, ALICE)
        await poller.post(ASK)
        [answer] = await poller.poll()
        assert answer["servers"][0]["username"].endswith(f":{ALICE_ID}")


@pytest.mark.parametrize("wire", ["websocket", "polls"])
async def test_by_both_wires_they_end_with_the_token(secret_file, tmp_path, wire):
    key_file = tmp_path / "token.key"
    key_file.write_text("k" * 48)
    key_file.chmod(0o600)
    expires_at = int(time.time()) + 600
    token = make_token(TokenKey.load(key_file), expires_at=expires_at)
    settings = {"turn_urls": [URL], "turn_secret_file": secret_file, "token_key_file": key_file}
    async with serve(**settings) as server:
        if wire == "websocket":
            async with server.browser() as alice:
                await alice.register(token=token)
                await alice.send_json(ASK)
                answer = await alice.receive()
        else:
            poller = await registered(server, ALICE, token=token)
            await poller.post(ASK)
            [answer] = await poller.poll()
    assert 0 < answer["lifetime"] <= 600
    assert int(answer["servers"][0]["username"].partition(":")[0]) <= expires_at


async def test_nobody_else_gets_any(secret_file):
    settings = {"turn_urls": [URL], "turn_secret_file": secret_file}
    async with serve(**settings, insecure=True) as server, server.browser() as browser:
        await browser.receive()
        await browser.send_json({"version": 1, "type": "register", "peer": ALICE_ID, "instance": INSTANCE})
        reply = await browser.receive()
        assert (reply["proven"], "turn" in reply) == (False, False)
        await browser.send_json(ASK)
        answer = await browser.receive()
        assert (answer["servers"], answer["lifetime"]) == ([], 0)
    async with serve(**settings) as server, server.browser() as browser:
        await browser.receive()
        await browser.send_json(ASK)
        assert await browser.refusal() == "invalid-message"


async def test_a_server_without_turn_says_so():
    async with serve() as server, server.registered() as alice:
        await alice.send_json(ASK)
        assert (await alice.receive())["servers"] == []


async def test_questions_count_as_messages(secret_file):
    settings = {"turn_urls": [URL], "turn_secret_file": secret_file}
    limits = {"max_message_burst": 5, "max_messages_per_second": 0.001}
    async with serve(**settings, **limits) as server, server.registered() as alice:
        for number in range(7):
            await alice.send_json(ASK | {"seq": number + 1})
        codes = [(await alice.receive())["type"] for _ in range(6)]
        assert codes == ["ice-servers"] * 5 + ["error"]


def relayed(server):
    return config(ice_transport_policy="relay", ice_servers=server.ice_servers, dial_timeout=8)


async def test_one_line_gets_a_user_through_a_real_turn_server(secret_file, coturn):
    settings = {"turn_urls": [f"turn:127.0.0.1:{coturn.port}"], "turn_secret_file": secret_file}
    async with signaling_server(**settings) as service:
        mine, theirs = RendezvousServer(service.url), RendezvousServer(service.http_url)
        with anyio.fail_after(30):
            async with (
                WebRTCTransport(Identity.generate(), signaling=[mine], config=relayed(mine)) as alice,
                WebRTCTransport(Identity.generate(), signaling=[theirs], config=relayed(theirs)) as bob,
            ):
                listener = await bob.listen("/webrtc")
                async with await alice.dial(listener.addresses[0]), await listener.accept():
                    servers = await mine.ice_servers()
                    assert servers[0].username.endswith(f":{alice.peer_id}")
                    assert await mine.ice_servers() == servers


async def test_after_their_end_the_turn_server_refuses_them(secret_file, coturn, caplog):
    caplog.set_level("INFO", LOGGER)
    settings = {"turn_urls": [f"turn:127.0.0.1:{coturn.port}"], "turn_secret_file": secret_file}
    async with signaling_server(**settings, turn_lifetime=2) as service:
        server = RendezvousServer(service.url)
        identity = Identity.generate()
        expired = []

        async def too_late():
            if not expired:
                expired.extend(await server.ice_servers())
                await anyio.sleep(3.1)
            return expired

        settings = config(ice_transport_policy="relay", ice_servers=too_late, dial_timeout=8)
        with anyio.fail_after(30):
            async with (
                WebRTCTransport(identity, signaling=[server], config=settings) as alice,
                WebRTCTransport(Identity.generate(), signaling=[service.url], config=config()) as bob,
            ):
                listener = await bob.listen("/webrtc")
                with pytest.raises(ConnectError) as caught:
                    await alice.dial(listener.addresses[0])
        assert int(expired[0].username.partition(":")[0]) < time.time()
        assert "401" in str(caught.value), str(caught.value)
        assert expired[0].password not in caplog.text + str(caught.value)
