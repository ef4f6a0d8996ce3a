"""Two servers joined by Redis, with one peer on each, are a signaling service like any other."""

import contextlib

import pytest

from tests.webrtc_signaling.backends import backend
from tests.webrtc_signaling.redis_server import redis_server
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.testing import SignalingConformance


@pytest.fixture(scope="module")
def redis():
    with redis_server() as server:
        yield server


class TestConformance(SignalingConformance):
    @pytest.fixture(autouse=True)
    def _redis(self, redis):
        self.redis_url = redis.url

    @contextlib.asynccontextmanager
    async def service(self):
        async with (
            signaling_server(redis=self.redis_url) as one,
            signaling_server(redis=self.redis_url) as other,
        ):
            yield f"{one.url} {other.url}"

    def backend(self, url, identity):
        one, other = url.split()
        return backend(other if identity is self.bob else one, identity)
