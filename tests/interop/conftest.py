"""Every foreign peer and our own ones run once, in a namespace of their own; connections are made anew by each test."""

import contextlib

import pytest

from tests.interop.runtimes import ENGINES, FOREIGN, running_links, running_peer
from tests.namespaces import network_namespace


@pytest.fixture(scope="session")
def namespace():
    with network_namespace() as namespace:
        yield namespace


@pytest.fixture(scope="session")
def links(namespace):
    with running_links(namespace) as links:
        yield links


@pytest.fixture(scope="session", params=FOREIGN)
def foreign(request, namespace):
    with running_peer(request.param, namespace) as peer:
        yield peer


@pytest.fixture(scope="session")
def engines(namespace):
    """Our engines, by name, each in a process of its own."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(running_peer(f"engine-{name}", namespace)) for name in ENGINES}


@pytest.fixture
def native(engines):
    return engines["native"]


@pytest.fixture(params=["we-offer", "they-offer"])
def we_offer(request):
    return request.param == "we-offer"
