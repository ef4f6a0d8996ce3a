"""What a test needs of the machine. Without it the test is skipped, and in CI, where all has to be there, it fails."""

import os
import shutil
from typing import NoReturn

import pytest


def missing(reason) -> NoReturn:
    """End the test, because the machine lacks something."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; under CI=true nothing may be missing", pytrace=False)
    pytest.skip(reason)


def require_program(*names):
    """The path of the first of these programs that is installed."""
    for name in names:
        if path := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return path
    missing(f"{' or '.join(names)} is not installed; tests/install_system_packages.sh installs it as root")


def require_root():
    """Network namespaces are root's."""
    if os.geteuid() != 0:
        missing("network namespaces need root")
