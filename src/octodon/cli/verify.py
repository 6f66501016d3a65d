"""``octodon verify``."""

from __future__ import annotations

import typer

from octodon.cli.options import Backbone, Bundle, Device, DeviceOption


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Does a bundle still give the answers it gave when made?",
        epilog="Example: octodon verify run/student",
    )(verify)


def verify(bundle: Bundle, device: DeviceOption = Device.AUTO, backbone: Backbone = None) -> None:
    """Ask a bundle's self-test again, here and today, and say whether it answers as it did when it was saved.

    Exit code 0 when every column holds, 1 when one does not, 2 when nothing can be compared.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from octodon.handover.verify import TOLERANCE
    from octodon.handover.verify import verify as ask

    verdict = ask(bundle, backbone=backbone, device=device.value)
    # as Text: what stands in brackets in a path or the name of a target is no markup
    title = Text(f"Self-test of {bundle}: {verdict.n_sequences} sequences", style="table.title")
    table = Table(title=title)
    for name in ("quantity", "target"):
        table.add_column(name)
    for name in ("largest difference", "allowed"):
        table.add_column(name, justify="right")
    table.add_column("holds")
    for column in verdict.differences:
        values = f"{column.largest:.2e}", f"{column.tolerance:.2e}", "yes" if column.holds else "NO"
        table.add_row(column.quantity, Text(column.target), *values)
    console = Console()
    console.print(table)
    for name in sorted(verdict.then.keys() | verdict.now.keys()):
        then, now = verdict.then.get(name, "?"), verdict.now.get(name, "?")
        typer.echo(f"{name:<9} {now}" if then == now else f"{name:<9} {now} (saved with {then})")
    typer.echo(
        f"allowed: {TOLERANCE:g} of each column's spread over the sequences; float32 sums in another order differ by about "
        "1e-6 of it, an altered network by 1e-2 and more"
    )
    if not verdict.holds:
        typer.echo(
            f"{bundle}: predictions differ from those that were saved; copy it again, or do not trust it here",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"{bundle}: predictions are those that were saved")
