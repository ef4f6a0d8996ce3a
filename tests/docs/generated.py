"""The parts of the documentation that are made of the code.

A page has such a part between ``<!-- generated: name -->`` and ``<!-- end -->``. Run this file to write them anew:

    python -m tests.docs.generated

A test fails when a page has something else there.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from typer.main import get_command

from tests.docs.pages import DOCS
from webrtc_signaling import limits as signaling_limits
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.server.commands import app as signaling_app
from webrtc_signaling.server.hub import Hub
from webrtc_signaling.server.metrics import ServerCollector
from webrtc_signaling.server.openapi import description
from webrtc_signaling.server.options import option_name, parameters, topic
from webrtc_signaling.server.readiness import Readiness
from webrtc_signaling.server.settings import ServerSettings, Topic
from webrtc_transport.cli.commands import app as transport_app
from webrtc_transport.config import IceServer, TransportConfig
from webrtc_transport.protocol import limits as transport_limits
from webrtc_transport.protocol.stream_state import state_diagram

KIB, MIB = 1024, 1024 * 1024
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Constant:
    """An assignment with a docstring below it."""

    name: str
    section: str
    explanation: str


def constants(source: str) -> Iterator[Constant]:
    """The annotated assignments of a module or class body, with the comment lines that begin its sections."""
    headings = {
        number: match[1]
        for number, line in enumerate(source.splitlines(), start=1)
        if (match := re.fullmatch(r"# --- (.*?) -*", line))
    }
    tree = ast.parse(textwrap.dedent(source))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else tree.body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        section = next((headings[line] for line in range(node.lineno, 0, -1) if line in headings), "")
        explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        text = inspect.cleandoc(following.value.value) if explained else ""
        yield Constant(ast.unparse(node.target), section, markdown(text))


def markdown(docstring: str) -> str:
    """A docstring as one line of Markdown."""
    text = " ".join(docstring.split())
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`").replace("|", "\\|")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: Any) -> str:
    """A number, with its size in words if it is a round number of bytes."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if value >= 16 * KIB and value % unit == 0:
            return f"{value:,} ({value // unit}\N{NO-BREAK SPACE}{name})"
    return f"{value:,}" if value >= 10_000 else str(value)


# --- configuration ------------------------------------------------------------------------------------------------


def bounds(model: type[BaseModel], name: str) -> str:
    """What a field may be."""
    field = model.model_fields[name]
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(field.annotation))
    words = {"gt": "over", "ge": "from", "le": "to", "lt": "under"}
    found = [
        f"{word} {number(getattr(rule, key))}"
        for key, word in words.items()
        for rule in field.metadata
        if hasattr(rule, key)
    ]
    return " ".join(found)


def default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return "none" if value in (None, ()) else f"`{value}`"


def settings_table(model: type[BaseModel]) -> str:
    explained = {constant.name: constant.explanation for constant in constants(inspect.getsource(model))}
    rows = [
        (f"`{name}`", default(model, name), bounds(model, name), explained.get(name, ""))
        for name in model.model_fields
    ]
    return table(("Field", "Default", "Allowed", "What it is, and why"), rows)


def server_settings() -> str:
    prefix = ServerSettings.model_config.get("env_prefix", "")
    rows = [
        (
            f"`{prefix}{name}`".upper(),
            default(ServerSettings, name),
            bounds(ServerSettings, name),
            constant.explanation,
        )
        for constant in constants(inspect.getsource(ServerSettings))
        if (name := constant.name) in ServerSettings.model_fields
    ]
    return table(("Variable", "Default", "Allowed", "What it is, and why"), rows)


def client_options() -> str:
    defaults = ClientOptions()
    found = list(constants(inspect.getsource(ClientOptions)))
    rows = []
    for constant, following in zip(found, [*found[1:], None], strict=True):
        # One sentence may explain two fields: it stands below the second.
        text = constant.explanation or (following.explanation if following else "")
        value = getattr(defaults, constant.name)
        shown = f"`Codec.{value.name}`" if hasattr(value, "name") else number(value)
        rows.append((f"`{constant.name}`", shown, text))
    return table(("Field", "Default", "What it is"), rows)


# --- limits -------------------------------------------------------------------------------------------------------


def limits(module: Any) -> Iterator[str]:
    section = ""
    rows: list[tuple[str, ...]] = []
    for constant in constants(inspect.getsource(module)):
        if constant.section != section:
            if rows:
                yield limit_table(rows)
            rows, section = [], constant.section
            title, _, source = markdown(section).partition(" (")
            yield f"\n### {title[:1].upper()}{title[1:]}\n\n"
            if source:
                yield f"Source: {source.removesuffix(')')}.\n\n"
        rows.append((f"`{constant.name}`", number(getattr(module, constant.name)), constant.explanation))
    yield limit_table(rows)


def limit_table(rows: list[tuple[str, ...]]) -> str:
    return table(("Name", "Value", "What it bounds, and why"), rows)


# --- command line -------------------------------------------------------------------------------------------------


def serve_options() -> str:
    """The options of the server, which are its settings, by topic."""
    rows: dict[Topic, list[tuple[str, ...]]] = {}
    explained = {
        constant.name: constant.explanation for constant in constants(inspect.getsource(ServerSettings))
    }
    for parameter in parameters():
        name, field = parameter.name, ServerSettings.model_fields[parameter.name]
        shown = "off" if field.default is False else default(ServerSettings, name)
        row = (f"`{option_name(name)}`", shown, bounds(ServerSettings, name), explained[name])
        rows.setdefault(topic(field), []).append(row)
    header = ("Option", "Default", "Allowed", "What it is, and why")
    return "".join(f"\n### {about}\n\n{table(header, found)}" for about, found in rows.items())


def flags(app: typer.Typer, name: str) -> str:
    """The flags of a subcommand. What ``--help`` prints is laid out anew by each version of typer."""
    command: Any = get_command(app)
    rows = []
    for parameter in command.commands[name].params:
        if parameter.param_type_name == "argument":
            rows.append((f"`{parameter.metavar}`", "required", "", markdown(parameter.help or "")))
            continue
        variable = f"`{parameter.envvar}`" if parameter.envvar else ""
        rows.append(
            (f"`{parameter.opts[0]}`", flag_default(parameter), variable, markdown(parameter.help or ""))
        )
    return table(("Flag", "Default", "Variable", "What it is"), rows)


def flag_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.is_flag:
        return "off"
    return "none" if parameter.default in (None, (), []) else f"`{number(parameter.default)}`"


# --- what the signaling server tells ------------------------------------------------------------------------------


def metrics() -> str:
    settings = ServerSettings.model_construct()
    rows = []
    for metric in ServerCollector(Hub(settings), Readiness(), settings).collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        rows.append((f"`{name}`", metric.type, labels, markdown(metric.documentation)))
    return table(("Metric", "Type", "Labels", "What it is"), rows)


def openapi() -> str:
    paths: Any = description()["paths"]
    rows = [
        (f"`{method.upper()} {path}`", operation["summary"], ", ".join(operation["responses"]))
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
    return table(("Request", "What it does", "Statuses"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "transport-config": lambda: settings_table(TransportConfig),
    "ice-server": lambda: settings_table(IceServer),
    "server-settings": server_settings,
    "client-options": client_options,
    "metrics": metrics,
    "openapi": openapi,
    "transport-limits": lambda: "".join(limits(transport_limits)),
    "signaling-limits": lambda: "".join(limits(signaling_limits)),
    "serve-options": serve_options,
    "token-flags": lambda: flags(signaling_app, "token"),
    "doctor-flags": lambda: flags(transport_app, "doctor"),
    "send-flags": lambda: flags(transport_app, "send"),
    "receive-flags": lambda: flags(transport_app, "receive"),
}


def regenerate(content: str) -> str:
    """A page with its generated parts as they have to be."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match['name']]()}\n{match[3]}", content)


def used_parts() -> set[str]:
    """The parts that stand in a page."""
    return {match["name"] for page in DOCS.rglob("*.md") for match in _PART.finditer(page.read_text("utf-8"))}


def main() -> None:
    """Write all generated parts anew."""
    for page in sorted(DOCS.rglob("*.md")):
        content = page.read_text(encoding="utf-8")
        if (written := regenerate(content)) != content:
            page.write_text(written, encoding="utf-8")
            print(f"wrote {page.relative_to(DOCS)}")
    diagram = DOCS / "diagrams" / "stream-state.mmd"
    if diagram.read_text(encoding="utf-8") != state_diagram():
        diagram.write_text(state_diagram(), encoding="utf-8")
        print("wrote the diagram of the stream's states; now draw it: python docs/diagrams/render.py")


if __name__ == "__main__":
    main()
