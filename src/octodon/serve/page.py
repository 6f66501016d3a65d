"""The page for people: that of ``octodon export --html``, computed here instead of in the browser."""

from __future__ import annotations

from octodon.handover.html_page import page_card, render
from octodon.serve.service import Service

_SAME_ORIGIN = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'"
)
"""What the browser lets the page do: run what is inside it, and ask the service that it came from."""


def page_of(service: Service, title: str | None = None) -> str:
    """Return the page of a service."""
    card = page_card(
        service.model,
        outputs=service.outputs,
        level=service.level,
        interval=service.interval,
        title=title,
        length=service.length,
    )
    card["where"] = "Sequences are sent to the computer that this page came from, and computed there."
    return render(card, backend="backend_serve.js", payload={}, policy=_SAME_ORIGIN)
