import pytest

from tests.asyncio_loops import LOOPS

pytest.register_assert_rewrite(
    "tests.compliance.engine_compliance",
    "tests.compliance.engine_ends",
    "tests.compliance.wire_compliance",
)


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param
