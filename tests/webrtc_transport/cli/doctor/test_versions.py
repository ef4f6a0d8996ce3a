from email.message import Message

from webrtc_transport.cli.doctor.findings import Outcome
from webrtc_transport.cli.doctor.versions import check_versions


class Package:
    def __init__(self, name, version, *requires):
        self.metadata = Message()
        self.metadata["Name"] = name
        self.version = version
        self.requires = list(requires)


US = Package("webrtc_transport", "1.0", "aioice>=0.13", "typer>=1; extra == 'cli'")


def test_this_environment_is_in_order():
    (found,) = check_versions()
    assert found.outcome is Outcome.OK
    assert "aioice" in found.details


def test_a_version_that_fits():
    (found,) = check_versions([US, Package("aioice", "0.13.1")])
    assert found.outcome is Outcome.OK


def test_a_missing_package():
    (found,) = check_versions([US])
    assert found.outcome is Outcome.FAILED
    assert found.found == "aioice is missing"
    assert found.cure == "pip install 'aioice>=0.13'"


def test_an_old_package_and_who_holds_it_back():
    holder = Package("libp2p", "0.8.1", 'aioice<0.11,>=0.10; extra == "webrtc"', "no requirement at all!")
    other = Package("innocent", "1", "aioice")
    (found,) = check_versions([US, Package("aioice", "0.10.1"), holder, other])
    assert found.outcome is Outcome.FAILED
    assert found.found == "aioice 0.10.1 is installed, and >=0.13 is needed"
    assert "libp2p[webrtc] asks for aioice<0.11,>=0.10" in found.cure
    assert "innocent" not in found.cure
