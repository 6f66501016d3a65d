"""Help texts as a newcomer reads them: an example that works in every command, the same option for the same thing."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer
from documents import check_octodon

from octodon.calibration.fit import DEFAULT_METHOD
from octodon.cli.main import app
from octodon.ood.detector import DEFAULT_SCORE

GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(GROUP.commands)
every_command = pytest.mark.parametrize("name", list(COMMANDS))

DIFFERENT = {
    "--out": "a file, a folder or the beginning of names; the help says which",
    "--target": "calibrate also says which columns hold the target",
    "--backbone": "import also takes a name",
    "--background": "attribute also takes a file",
    "--length": "of what is simulated, or what to do with sequences of another length",
    "--replicates": "how many are simulated, or were measured",
    "--sequences": "how many",
}
"""Options of one name that may take other values in another command, and why."""


@every_command
def test_the_example_works(name: str) -> None:
    epilog = COMMANDS[name].epilog or ""
    assert re.match(r"Examples?: octodon ", epilog), "no example"
    for example in epilog.partition(": ")[2].split("; "):
        words = shlex.split(example)
        assert words[:2] == ["octodon", name]
        check_octodon(words[1:])


@every_command
def test_everything_is_explained(name: str) -> None:
    for parameter in COMMANDS[name].params:
        text = (getattr(parameter, "help", None) or "").strip()
        assert text.endswith("."), f"{parameter.name}: {text!r}"
    assert (COMMANDS[name].help or "").strip()


def test_the_list_of_commands_is_not_cut_off() -> None:
    for name, command in COMMANDS.items():
        assert command.short_help, name
        assert len(command.short_help) <= 58, name  # 80 columns, less indent and the longest name
        assert not command.short_help.endswith((".", "..."))


def test_options_of_one_name_take_the_same_values_everywhere() -> None:
    found: dict[str, dict[str, list[str]]] = {}
    for name, command in COMMANDS.items():
        context = command.context_class(command)
        for parameter in command.params:
            option = parameter.opts[0]
            if option.startswith("--") and option not in DIFFERENT:
                kind = f"{parameter.metavar} {parameter.display_type(context)}"
                found.setdefault(option, {}).setdefault(kind, []).append(name)
    assert {option: kinds for option, kinds in found.items() if len(kinds) > 1} == {}


def test_stated_defaults_are_those_of_the_code() -> None:
    def text(command: str, option: str) -> str:
        return next(p.help for p in COMMANDS[command].params if option in p.opts)

    assert f"(default: {DEFAULT_METHOD})" in text("calibrate", "--method")
    assert f"(default: {DEFAULT_SCORE})" in text("ood", "--score")
