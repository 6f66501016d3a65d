"""The reference of all addresses as one plain page, from the OpenAPI description; it asks no other server for anything."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from octodon.serve.service import Service

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; font: 1rem/1.5 system-ui, "DejaVu Sans", sans-serif; }
h2 { margin-top: 2rem; padding-top: 1rem; border-top: 1px solid #8888; }
code, pre { font: .9rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; padding: .7rem; border: 1px solid #8888; border-radius: .4rem; }
h2 code { font-size: 1.15rem; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
.scroll { overflow-x: auto; }
"""


def reference_page(schema: Mapping[str, Any], service: Service, address: str) -> str:
    """Return the page; ``address`` is where the service is reached."""
    info = schema["info"]
    operations = [
        _operation(path, method, said)
        for path, methods in schema["paths"].items()
        for method, said in methods.items()
    ]
    limits = service.limits
    about = (
        f"Sequences of {service.model.model.length} bases; at most {limits.sequences:,} and {limits.megabytes:g} MB in one "
        f"request, {limits.seconds:g} s. What is refused is answered with a status and one line: "
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{escape(info["title"])}</title><style>{_STYLE}</style></head><body>
<h1>{escape(info["title"])}</h1>
<p>{escape(info["description"])} <a href="./">The page</a> for people, <a href="openapi.json">openapi.json</a> for programs.</p>
<p>{escape(about)}<code>{{"error": "..."}}</code>.</p>
<pre>{escape(_example(service, address))}</pre>
{"".join(operations)}
</body></html>
"""


def _example(service: Service, address: str) -> str:
    bases = ("ACGT" * service.model.model.length)[: service.model.model.length]
    short = bases if len(bases) <= 60 else bases[:12] + "..."
    return "\n".join(
        (
            f"curl --data-binary @sequences.fa '{address}/predict?format=tsv'",
            f"curl --data-binary @sequence.fa '{address}/attribute?{_target(service)}method=ism&format=svg' > logo.svg",
            f'curl --json \'{{"sequences": ["{short}"]}}\' {address}/predict',
            f'curl --json \'{{"sequence": "{short}", "mutations": ["A1G"]}}\' {address}/variants',
        )
    )


def _target(service: Service) -> str:
    names = service.model.target_names
    return f"target={quote(names[0])}&" if len(names) > 1 else ""


def _operation(path: str, method: str, said: Mapping[str, Any]) -> str:
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p>{_text(said.get('description', said.get('summary', '')))}</p>",
    ]
    if parameters := said.get("parameters"):
        rows = [(p["name"], _kind(p["schema"]), p.get("description", "")) for p in parameters]
        parts.append(_table(("parameter", "values", ""), rows))
    for kind, content in said.get("requestBody", {}).get("content", {}).items():
        schemas = content["schema"].get("oneOf", [content["schema"]])
        for schema in schemas:
            rows = [
                (
                    name + ("" if name in schema.get("required", ()) else " (optional)"),
                    _kind(field),
                    _description(field),
                )
                for name, field in schema.get("properties", {}).items()
            ]
            parts.append(f"<p>Body <code>{escape(kind)}</code> {escape(schema.get('description', ''))}</p>")
            parts.append(_table(("field", "values", ""), rows) if rows else "")
    rows = [
        (
            status,
            ", ".join(answer.get("content", {})),
            answer["description"].replace("Successful Response", ""),
        )
        for status, answer in said["responses"].items()
    ]
    parts.append(_table(("status", "answer", ""), rows))
    return "\n".join(parts)


def _description(field: Mapping[str, Any]) -> str:
    return field.get("description", field.get("items", {}).get("description", ""))


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the values of a parameter or a field in a few words."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        words = ", ".join(map(str, schema["enum"]))
    elif schema.get("type") == "array":
        words = f"list of {_kind(schema['items'])}"
    else:
        words = str(schema.get("const", schema.get("type", "")))
    given = schema.get("default")
    return words + (f" (default {given})" if given not in (None, "") else "")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = "".join(
        f"<tr><td><code>{escape(first)}</code></td>{''.join(f'<td>{_text(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><tr>{header}</tr>{lines}</table></div>'


def _text(text: str) -> str:
    """Return text with ``code`` marked."""
    pieces = escape(text).split("``")
    return "".join(f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))
