"""The tests on every CPython from 3.11 that is installed: ``make test-all``."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
"""Those that aren't installed are skipped."""


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, with the newest dependencies."""
    session.install("--quiet", "--upgrade", "pip>=25.1")
    session.run(
        "pip", "install", "--quiet", ".[all]", *nox.project.dependency_groups(PROJECT, "test", "docs", "lint")
    )
    session.run("python", "-m", "pytest", *session.posargs)


OLDEST = ("uv", "pip", "install", "--quiet", "--resolution", "lowest-direct")

OF_OLD_ONES = (
    *("-W", "ignore::DeprecationWarning:typer"),
    *("-W", "ignore:Attempting to mutate a Context:DeprecationWarning:aiortc.rtcdtlstransport"),
)
"""Warnings of releases that use what newer ones of their own dependencies deprecate: they go with the next release."""


LIBP2P_TESTS = ("tests/webrtc_libp2p", "tests/interop/test_unified_testing.py")


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """All tests but those of libp2p and of the docs, with the oldest versions that pyproject.toml allows."""
    session.install("--quiet", "uv")
    session.run(*OLDEST, ".[websocket,server,metrics]", *nox.project.dependency_groups(PROJECT, "test"))
    others = [f"--ignore={tests}" for tests in ("tests/docs", *LIBP2P_TESTS)]
    session.run("python", "-m", "pytest", *OF_OLD_ONES, *others, *session.posargs)


@nox.session(python="3.11")
def oldest_libp2p(session: nox.Session) -> None:
    """libp2p's tests, with the oldest libp2p; it asks for newer versions of some others than we do."""
    session.install("--quiet", "uv")
    session.run(*OLDEST, ".[all]", *nox.project.dependency_groups(PROJECT, "test"))
    session.run("python", "-m", "pytest", *OF_OLD_ONES, *LIBP2P_TESTS, *session.posargs)
