"""Plugins: classes and functions that installed packages offer by entry points.

A plugin is looked up by its name and imported when it is asked for, never before, so a broken or missing one
troubles only who wants it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Final

from .abc import Engine, SignalingBackend
from .errors import PluginBroken, PluginConflict, PluginNotFound
from .spelling import did_you_mean

SIGNALING_GROUP: Final = "webrtc_transport.signaling"
"""Subclasses of :class:`~webrtc_transport.abc.SignalingBackend`, by the scheme of their URLs."""

ENGINE_GROUP: Final = "webrtc_transport.engines"
"""Functions without arguments that return an :class:`~webrtc_transport.abc.Engine`, by its name."""

_WEBSOCKET_CURE: Final = (
    "pip install 'webrtc-transport[websocket]', or in a checkout of it: pip install '.[websocket]'"
)
_CURES: Final[Mapping[tuple[str, str], str]] = {
    (SIGNALING_GROUP, "ws"): _WEBSOCKET_CURE,
    (SIGNALING_GROUP, "wss"): _WEBSOCKET_CURE,
    (SIGNALING_GROUP, "http"): _WEBSOCKET_CURE,
    (SIGNALING_GROUP, "https"): _WEBSOCKET_CURE,
    (SIGNALING_GROUP, "websocket"): "for a rendezvous server write ws:// in place of websocket://",
}
"""What installs a well-known plugin with everything that it imports, or another name for it, by group and name."""


def load_plugin(group: str, name: str) -> object:
    """Import the plugin ``name`` of an entry-point group.

    :raises PluginNotFound: if no installed package provides it; says which there are, and what to install
    :raises PluginConflict: if two packages provide it; names both
    :raises PluginBroken: if its import fails; names its package, the reason and, for a missing module, the cure
    """
    return _load(_find(group, name))


def signaling_backend_class(scheme: str) -> type[SignalingBackend]:
    """The signaling backend for URLs of this scheme, which may be in any case.

    :raises PluginError: as :func:`load_plugin` does; ``PluginBroken`` also if it isn't a ``SignalingBackend``
    """
    entry = _find(SIGNALING_GROUP, scheme.lower())
    backend = _load(entry)
    if not (isinstance(backend, type) and issubclass(backend, SignalingBackend)):
        raise PluginBroken(f"{_describe(entry)} is no subclass of webrtc_transport.abc.SignalingBackend")
    if backend.__abstractmethods__:
        raise PluginBroken(f"{_describe(entry)} lacks {', '.join(sorted(backend.__abstractmethods__))}")
    return backend


def engine_factory(name: str) -> Callable[[], Engine]:
    """The function that makes the engine ``name``; it raises ``PluginBroken`` if it makes anything else.

    :raises PluginError: as :func:`load_plugin` does; ``PluginBroken`` also if it can't be called
    """
    entry = _find(ENGINE_GROUP, name)
    factory = _load(entry)
    if not callable(factory):
        raise PluginBroken(
            f"{_describe(entry)} can't be called; an engine plugin is a function that makes an Engine"
        )

    def create() -> Engine:
        engine = factory()
        if not isinstance(engine, Engine):
            raise PluginBroken(
                f"{_describe(entry)} made a {type(engine).__name__}, no webrtc_transport.abc.Engine"
            )
        return engine

    return create


def _find(group: str, name: str) -> EntryPoint:
    found = _providers(group, name)
    if not found:
        # It may have been installed since the last scan.
        _scan.cache_clear()
        found = _providers(group, name)
    if not found:
        installed = sorted(_installed(group).names)
        there_are = (
            f"no plugin {name!r} of {group} is installed (there are: {', '.join(installed) or 'none'})"
        )
        cure = _CURES.get((group, name))
        if cure is not None:
            raise PluginNotFound(f"{there_are}; {cure}")
        near = did_you_mean(name, installed)
        raise PluginNotFound(f"{there_are}{near or '; install the package that provides it'}")
    if len(found) > 1:
        providers = " and ".join(sorted(f"{package} ({value})" for value, package in found))
        raise PluginConflict(
            f"the plugin {name!r} of {group} is provided by {providers}; uninstall all but one"
        )
    return next(iter(found.values()))


def _providers(group: str, name: str) -> Mapping[tuple[str, str], EntryPoint]:
    # A package that is on sys.path twice is found twice, and says the same both times.
    return {(entry.value, _package(entry)): entry for entry in _installed(group).select(name=name)}


def _installed(group: str) -> EntryPoints:
    return _scan(group, tuple(sys.path))


@lru_cache(maxsize=4)  # our groups, and one that is asked for by hand
def _scan(group: str, path: Sequence[str]) -> EntryPoints:  # noqa: ARG001 - what is found depends on the path
    # It reads a file of each installed package, and every transport asks.
    return entry_points(group=group)


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as exc:
        raise PluginBroken(f"{_describe(entry)} can't be imported: {exc!r}{_cure(entry, exc)}") from exc


def _cure(entry: EntryPoint, error: Exception) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    if f"{entry.module}.".startswith(f"{error.name}."):
        return f"; pip install --force-reinstall {_package(entry)}"
    return "; " + _CURES.get((entry.group, entry.name), f"pip install {error.name.partition('.')[0]}")


def _describe(entry: EntryPoint) -> str:
    return f"the plugin {entry.name!r} of {entry.group} ({entry.value}, from the package {_package(entry)})"


def _package(entry: EntryPoint) -> str:
    return "of unknown name" if entry.dist is None else entry.dist.name
