"""``octodon serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from octodon.cli.options import (
    Backbone,
    Bundle,
    Device,
    DeviceOption,
    LeftFlank,
    Length,
    Level,
    RightFlank,
    Title,
    Uncalibrated,
    policy_of,
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="A page and an HTTP service for one model",
        epilog="Example: octodon serve run/student --port 8000",
    )(serve)


def serve(
    bundle: Bundle,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; default: this machine alone.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Additional accepted Host name, such as that of a proxy; may be repeated.",
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    level: Level = None,
    uncalibrated: Uncalibrated = False,
    title: Title = None,
    length: Annotated[
        Length | None,
        typer.Option(
            "--length", help="What to do with sequences of another length; default: as it was trained."
        ),
    ] = None,
    left_flank: LeftFlank = "",
    right_flank: RightFlank = "",
    most_sequences: Annotated[
        int, typer.Option("--most-sequences", min=1, help="Maximum sequences per request (beyond: HTTP 413).")
    ] = 10_000,
    most_megabytes: Annotated[
        float, typer.Option("--most-megabytes", help="Maximum megabytes per request (beyond: HTTP 413).")
    ] = 16.0,
    most_waiting: Annotated[
        int,
        typer.Option(
            "--most-waiting", min=1, help="Maximum sequences of all requests at once (beyond: HTTP 503)."
        ),
    ] = 50_000,
    most_seconds: Annotated[
        float, typer.Option("--most-seconds", help="Request timeout in seconds (beyond: HTTP 503).")
    ] = 60.0,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
) -> None:
    """Serve one model: a page for people, JSON and FASTA for programs; answers as octodon predict gives them.

    Only this machine can reach it unless --host says otherwise; there is no password. Ctrl-C and SIGTERM let it finish what it
    is answering. Needs pip install 'octodon[serve]'.
    """
    from octodon.artifact.bundle import load
    from octodon.cli.output import say
    from octodon.errors import ConfigError
    from octodon.records import check_level
    from octodon.serve.hosts import is_loopback
    from octodon.serve.limits import Limits
    from octodon.serve.service import Service

    try:
        from octodon.serve.start import run
    except ImportError as error:
        raise ConfigError(
            f"serve: {error.name} is not installed; install the extra: pip install 'octodon[serve]'"
        ) from None

    if level is not None:
        check_level(level, "--level")
    policy = policy_of(bundle, length, left_flank, right_flank)
    limits = Limits(
        sequences=most_sequences, megabytes=most_megabytes, waiting=most_waiting, seconds=most_seconds
    )
    service = Service(
        load(bundle, backbone=backbone),
        name=str(bundle),
        limits=limits,
        level=level,
        calibrated=not uncalibrated,
        length=policy,
        device=device.value,
    )
    if not is_loopback(host):
        say(f"note: whoever reaches {host} can ask; there is no password, put a proxy in front")
    run(service, host=host, port=port, title=title, allowed=allow_host or [], say=say)
