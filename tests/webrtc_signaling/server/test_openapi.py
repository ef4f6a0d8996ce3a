"""What is described is what there is: the description is fuzzed against the server itself."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.webrtc_signaling.command import environment, port_of, started
from webrtc_signaling.server.app import create_app
from webrtc_signaling.server.openapi import description
from webrtc_signaling.server.settings import ServerSettings

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
PROJECT = Path(__file__).parents[3]

SECONDS = 8
"""For the requests. Its start takes some more."""


def test_whatever_is_asked_the_answer_is_as_described():
    # A poll waits for a heartbeat at most. Nobody reads the log until the end, so it has to be short.
    # One peer registers for each case that names a connection.
    options = ["--port", "0", "--heartbeat", "0.05", "--log-level", "warning"]
    options += ["--max-clients-per-address", "20000", "--max-registration-burst", "20000"]
    with started(*options) as process:
        url = f"http://127.0.0.1:{port_of(process.stdout.readline())}"
        command = [SCHEMATHESIS, "run", f"{url}/openapi.json", "--seed", "1", "--generation-deterministic"]
        command += ["--max-time", str(SECONDS), "--max-examples", "50", "--warnings", "off"]
        # Whether a number is good depends on what was sent before.
        command += ["--exclude-checks", "positive_data_acceptance"]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.webrtc_signaling.openapi_hooks"}
        paths = os.pathsep.join([str(PROJECT), *sys.path])
        done = subprocess.run(
            command,
            env=environment(**hooks) | {"PYTHONPATH": paths},
            cwd=PROJECT / "tests",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        process.terminate()
        _, log = process.communicate(timeout=20)
    operations = sum(len(methods) for methods in description()["paths"].values())
    assert done.returncode == 0, done.stdout + done.stderr
    # It leaves out the operation that it has the description from.
    assert f"{operations - 1} selected / {operations - 1} total" in done.stdout
    assert "Traceback" not in log


def test_the_server_says_it_itself():
    with started("--port", "0") as process:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(process.stdout.readline()), timeout=10)
        connection.request("GET", "/openapi.json")
        assert json.load(connection.getresponse()) == json.loads(json.dumps(description()))
        connection.close()


def test_each_route_of_the_server_is_described():
    for_people = {"/", "/status", "/ws", "/static"}
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in create_app(ServerSettings()).router.routes()
        if route.method not in ("HEAD", "OPTIONS") and route.resource.canonical not in for_people
    }
    described = {(method, path) for path, methods in description()["paths"].items() for method in methods}
    assert described == routes
