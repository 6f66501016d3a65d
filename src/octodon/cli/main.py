"""``octodon``: the commands, and the one place where errors become one line and exit code 2."""

from __future__ import annotations

import sys

import typer

from octodon.cli import (
    attribute,
    attribution_study,
    baseline,
    calibrate,
    check,
    compare,
    demo,
    distill,
    doctor,
    effect_map,
    export,
    importing,
    listing,
    motifs,
    ood,
    predict,
    report,
    reproduce,
    run,
    scan,
    serve,
    shift,
    simulate,
    sweep,
    variants,
    verify,
)
from octodon.errors import OctodonError

app = typer.Typer(
    name="octodon",
    help="Train an ensemble on DNA activity data and distil it into one network that knows how sure it is.",
    epilog="First steps: octodon demo. Own data: octodon check experiment.toml, then octodon run experiment.toml --out run. "
    "Every command: octodon COMMAND --help.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    demo,
    check,
    run,
    predict,
    report,
    compare,
    calibrate,
    baseline,
    variants,
    effect_map,
    scan,
    attribute,
    motifs,
    attribution_study,
    shift,
    ood,
    export,
    serve,
    verify,
    importing,
    distill,
    sweep,
    reproduce,
    simulate,
    doctor,
    listing,
):
    module.add_to(app)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        import octodon

        typer.echo(octodon.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake is one line on standard error and exit code 2."""
    try:
        app()
    except OctodonError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
