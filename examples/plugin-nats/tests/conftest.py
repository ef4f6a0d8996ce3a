"""One server for all tests."""

from collections.abc import Iterator

import broker
import pytest


@pytest.fixture(scope="session", autouse=True)
def nats_server() -> Iterator[None]:
    with broker.running(broker.PORT):
        yield
