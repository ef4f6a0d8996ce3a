"""``webrtc-signaling health`` as the health check of a container runs it."""

import http.server
import threading

import anyio
import pytest
from typer.testing import CliRunner

from tests.webrtc_signaling.certificates import certificate_in
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.server.commands import app

NOWHERE = "http://127.0.0.1:1"


def run(**variables):
    names = {f"WEBRTC_SIGNALING_{name.upper()}": str(value) for name, value in variables.items()}
    environment = {"NO_COLOR": "1", "COLUMNS": "200", "http_proxy": NOWHERE, "https_proxy": NOWHERE, **names}
    return CliRunner(env=environment).invoke(app, ["health"])


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
async def test_a_server_that_runs_is_well(host):
    async with signaling_server() as server:
        port = server.url.rpartition(":")[2]
        result = await anyio.to_thread.run_sync(lambda: run(host=host, port=port))
    assert (result.exit_code, result.output.split()[-1]) == (0, "200")


@pytest.mark.anyio
async def test_one_with_tls_too_and_the_settings_may_be_in_a_file(tmp_path):
    made = certificate_in(tmp_path)
    async with signaling_server(**made.settings) as server:
        port = server.url.rpartition(":")[2]
        file = tmp_path / "signaling.toml"
        file.write_text(f'port = {port}\ntls_certificate = "{made.certificate}"\ntls_key = "{made.key}"\n')
        result = await anyio.to_thread.run_sync(lambda: run(config=file))
    assert result.exit_code == 0, result.output


def test_one_that_is_not_there_is_not():
    result = run(port=1)
    assert result.exit_code == 1
    assert "no answer from 127.0.0.1:1: " in result.output


def test_nor_is_one_that_says_so():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = run(port=server.server_port)
        thread.join()
    assert (result.exit_code, result.output.split()[-1]) == (1, "500")


def test_settings_that_are_wrong_are_told():
    result = run(port="x")
    assert result.exit_code == 2
    assert "WEBRTC_SIGNALING_PORT should be a valid integer" in result.output
