"""Plugins come from distributions that are made in a folder on ``sys.path``: what ``pip install`` would leave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

import pytest

from webrtc_transport import plugins
from webrtc_transport.abc import Engine
from webrtc_transport.errors import PluginBroken, PluginConflict, PluginError, PluginNotFound
from webrtc_transport.plugins import (
    ENGINE_GROUP,
    SIGNALING_GROUP,
    engine_factory,
    load_plugin,
    signaling_backend_class,
)

GROUP = "webrtc_transport.test"

BACKEND = """
from webrtc_transport.abc import SignalingBackend

class Backend(SignalingBackend):
    @classmethod
    def from_url(cls, url, context): ...
    async def connect(self, peer): ...
    async def serve(self, handler, *, task_status=None): ...
    async def __aexit__(self, *exc): ...

class Incomplete(SignalingBackend):
    @classmethod
    def from_url(cls, url, context): ...
    async def __aexit__(self, *exc): ...

def function(): ...

instance = object()
"""

ENGINE = """
from webrtc_transport.abc import Engine

class Good(Engine):
    name = "good"
    def create_peer(self, settings, events): ...

def make():
    return Good()

def wrong():
    return 42

constant = 42
"""


def install(folder: Path, distribution: str, entry_points: str, **modules: str) -> None:
    """Put a distribution with ``modules`` into ``folder``."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_plugin_is_imported_when_it_is_asked_for(site: Path) -> None:
    install(
        site,
        "some-plugin",
        f"[{GROUP}]\none = lazy_one:thing\ntwo = lazy_two:thing\n",
        lazy_one="thing = 'one'",
        lazy_two="raise RuntimeError('nobody asked')",
    )
    assert "lazy_one" not in sys.modules
    assert load_plugin(GROUP, "one") == "one"
    assert "lazy_two" not in sys.modules


def test_a_missing_plugin_lists_the_installed_ones(site: Path) -> None:
    install(site, "some-plugin", f"[{GROUP}]\nzeta = m:z\nalpha = m:a\n")
    with pytest.raises(
        PluginNotFound, match=r"no plugin 'gamut'.*\(there are: alpha, zeta\); install the package"
    ):
        load_plugin(GROUP, "gamut")


def test_a_misspelled_name_gets_the_nearest(site: Path) -> None:
    install(site, "some-plugin", f"[{GROUP}]\nzeta = m:z\nalpha = m:a\n")
    with pytest.raises(PluginNotFound, match=r"\(there are: alpha, zeta\); did you mean 'zeta'\?$"):
        load_plugin(GROUP, "zetta")


@pytest.mark.parametrize("name", ["nativ", "natvie", "Native"])
def test_a_misspelled_engine_gets_the_nearest(name: str) -> None:
    with pytest.raises(PluginNotFound, match=r"\(there are: .*native\); did you mean 'native'\?$"):
        engine_factory(name)


@pytest.mark.parametrize(("scheme", "nearest"), [("wsss", "wss"), ("memry", "memory")])
def test_a_misspelled_scheme_gets_the_nearest(scheme: str, nearest: str) -> None:
    with pytest.raises(PluginNotFound, match=rf"\(there are: .*ws, wss\); did you mean '{nearest}'\?$"):
        signaling_backend_class(scheme)


def test_no_plugins_at_all() -> None:
    with pytest.raises(PluginNotFound, match="there are: none"):
        load_plugin(GROUP, "beta")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_the_cure_for_a_well_known_plugin_is_told(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # Nothing is installed.
    with pytest.raises(
        PluginNotFound,
        match=r"pip install 'webrtc-transport\[websocket\]', or in a checkout of it: pip install '\.\[websocket\]'$",
    ):
        signaling_backend_class(scheme)


def test_a_plugin_whose_import_fails_is_named_with_its_package(site: Path) -> None:
    install(
        site, "some-plugin", f"[{GROUP}]\nbad = broken:thing\n", broken="raise RuntimeError('out of cheese')"
    )
    with pytest.raises(PluginBroken, match=r"'bad'.*some-plugin.*RuntimeError\('out of cheese'\)") as caught:
        load_plugin(GROUP, "bad")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "pip install" not in str(caught.value)


def test_a_plugin_that_is_not_in_its_module_is_broken(site: Path) -> None:
    install(site, "some-plugin", f"[{GROUP}]\nbad = hollow:thing\n", hollow="")
    with pytest.raises(PluginBroken, match="has no attribute 'thing'"):
        load_plugin(GROUP, "bad")


def test_a_module_with_a_syntax_error_is_broken(site: Path) -> None:
    install(site, "some-plugin", f"[{GROUP}]\nbad = garbled:thing\n", garbled="def")
    with pytest.raises(PluginBroken, match="SyntaxError"):
        load_plugin(GROUP, "bad")


def test_what_a_plugin_lacks_can_be_installed(site: Path) -> None:
    install(site, "some-plugin", f"[{GROUP}]\nbad = needy:thing\n", needy="import surely_not_installed.part")
    with pytest.raises(
        PluginBroken, match=r"some-plugin.*surely_not_installed.*; pip install surely_not_installed$"
    ):
        load_plugin(GROUP, "bad")


def test_what_a_well_known_plugin_lacks_comes_with_its_extra(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(site)])
    install(
        site,
        "webrtc-transport",
        f"[{SIGNALING_GROUP}]\nws = needy_backend:Backend\n",
        needy_backend="import surely_not_installed",
    )
    with pytest.raises(
        PluginBroken, match=r"; pip install 'webrtc-transport\[websocket\]', or in a checkout"
    ):
        signaling_backend_class("ws")


@pytest.mark.parametrize("module", ["gone", "gone.part"])
def test_a_package_without_its_own_module_is_installed_again(site: Path, module: str) -> None:
    install(site, "some-plugin", f"[{GROUP}]\nbad = {module}:thing\n")
    with pytest.raises(PluginBroken, match=r"; pip install --force-reinstall some-plugin$"):
        load_plugin(GROUP, "bad")


def test_two_packages_with_one_name_are_a_conflict(site: Path) -> None:
    install(site, "first-plugin", f"[{GROUP}]\nsame = one:thing\n")
    install(site, "second-plugin", f"[{GROUP}]\nsame = two:thing\n")
    with pytest.raises(PluginConflict, match=r"first-plugin \(one:thing\) and second-plugin \(two:thing\)"):
        load_plugin(GROUP, "same")


def test_even_if_both_mean_the_same_object(site: Path) -> None:
    install(site, "first-plugin", f"[{GROUP}]\nsame = one:thing\n")
    install(site, "second-plugin", f"[{GROUP}]\nsame = one:thing\n")
    with pytest.raises(PluginConflict, match=r"first-plugin .* and second-plugin"):
        load_plugin(GROUP, "same")


def test_one_package_found_twice_is_no_conflict(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (site / "a", site / "b"):
        install(folder, "some-plugin", f"[{GROUP}]\nsame = twice:thing\n", twice="thing = 1")
        monkeypatch.syspath_prepend(folder)
    assert load_plugin(GROUP, "same") == 1


def test_one_name_twice_in_one_package_is_no_conflict_if_both_agree(site: Path) -> None:
    install(
        site, "some-plugin", f"[{GROUP}]\nsame = doubled:thing\nsame = doubled:thing\n", doubled="thing = 1"
    )
    assert load_plugin(GROUP, "same") == 1


# --- signaling backends ------------------------------------------------------------------------------------------


@pytest.fixture
def backends(site: Path) -> None:
    install(
        site,
        "backend-plugin",
        f"[{SIGNALING_GROUP}]\ngood = fake_backend:Backend\npartial = fake_backend:Incomplete\n"
        "function = fake_backend:function\ninstance = fake_backend:instance\n",
        fake_backend=BACKEND,
    )


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("scheme", ["good", "GOOD"])
def test_a_backend_is_found_by_its_scheme(scheme: str) -> None:
    assert signaling_backend_class(scheme).__name__ == "Backend"


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize(
    ("scheme", "problem"),
    [
        ("partial", "backend-plugin.* lacks connect, serve"),
        ("function", "backend-plugin.* is no subclass of webrtc_transport.abc.SignalingBackend"),
        ("instance", "is no subclass"),
    ],
)
def test_what_is_no_backend_is_refused(scheme: str, problem: str) -> None:
    with pytest.raises(PluginBroken, match=problem):
        signaling_backend_class(scheme)


# --- engines -----------------------------------------------------------------------------------------------------


@pytest.fixture
def engines(site: Path) -> None:
    install(
        site,
        "engine-plugin",
        f"[{ENGINE_GROUP}]\nmake = fake_engine:make\nclass = fake_engine:Good\n"
        "wrong = fake_engine:wrong\nconstant = fake_engine:constant\n",
        fake_engine=ENGINE,
    )


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("name", ["make", "class"])
def test_a_factory_makes_engines(name: str) -> None:
    factory = engine_factory(name)
    first, second = factory(), factory()
    assert isinstance(first, Engine)
    assert first is not second


@pytest.mark.usefixtures("engines")
def test_what_makes_no_engine_is_refused() -> None:
    with pytest.raises(PluginBroken, match=r"engine-plugin.* can't be called"):
        engine_factory("constant")
    factory = engine_factory("wrong")
    with pytest.raises(PluginBroken, match=r"engine-plugin.* made a int, no webrtc_transport.abc.Engine"):
        factory()


def test_an_unknown_engine_is_not_found() -> None:
    with pytest.raises(PluginNotFound, match="no plugin 'warp'"):
        engine_factory("warp")


def test_all_are_plugin_errors() -> None:
    assert all(issubclass(cls, PluginError) for cls in (PluginNotFound, PluginBroken, PluginConflict))


def test_what_is_installed_is_looked_over_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "first", f"[{GROUP}]\nfirst = first:thing\n", first="thing = 1")
    scans: list[EntryPoints] = []

    def count(group: str) -> EntryPoints:
        scans.append(entry_points(group=group))
        return scans[-1]

    monkeypatch.setattr(plugins, "entry_points", count)
    for _ in range(3):
        assert load_plugin(GROUP, "first") == 1
    assert len(scans) == 1
    # A notebook may install a package in the middle.
    install(site, "second", f"[{GROUP}]\nsecond = second:thing\n", second="thing = 2")
    assert load_plugin(GROUP, "second") == 2
