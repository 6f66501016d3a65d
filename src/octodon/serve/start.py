"""Start a service and end it decently: what is being answered when it is told to end is answered first."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from octodon.errors import RunError
from octodon.serve.app import make_app
from octodon.serve.hosts import accepted_hosts, refuse_no_names
from octodon.serve.service import Service

_BACKLOG = 512


def run(
    service: Service,
    *,
    host: str,
    port: int,
    title: str | None = None,
    allowed: Sequence[str] = (),
    end_seconds: float = 30.0,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Then nothing new is accepted, what is at work is answered, for at most ``end_seconds``.

    Parameters
    ----------
    port : int
        0: any that is free; the line that is said at the start names it.
    allowed : sequence of str
        Names under which it may be asked besides its own, see ``accepted_hosts``.

    Raises
    ------
    ConfigError
        What is allowed is no name.
    RunError
        Nobody can listen there.
    """
    refuse_no_names(allowed)
    listening = _listen(host, port)
    # whether others reach it is judged by the socket: "127.1", or a name of this machine, is not seen to be loopback
    address, port = listening.getsockname()[:2]
    app = make_app(service, title=title, hosts=accepted_hosts(host, address, allowed))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(end_seconds)),
    )
    service.worker.start()
    shown = f"[{host}]" if ":" in host else host
    say(f"{service.name} on http://{shown}:{port}/ (for programs: /docs); Ctrl-C ends it")
    with _quiet_signals():
        uvicorn.Server(config).run(sockets=[listening])
    ended = service.worker.stop(end_seconds)
    say(
        f"ended after {service.counters.answered():,} requests"
        + ("" if ended else ", one of them unfinished")
    )
    if not ended:
        os._exit(1)  # a thread inside torch would crash the interpreter's own end


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections from now on."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named: else each takes 40 ms more
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        # UnicodeError: no name that there can be, such as "models..example"
        raise RunError(
            f"cannot listen at {host}, port {port}: {error}; choose another --port, or a --host of this machine"
        ) from None
    return listening


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let the signals that end the server end only that: uvicorn raises them once more when it is done."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
