"""Without torch's compiler an optimiser makes the same steps; whoever asks for the compiler still gets it."""

import subprocess
import sys

_STEPS = """
import sys, torch
from octodon.ensemble.lean_torch import leave_compiler_out
{first}
torch.manual_seed(0)
layer = torch.nn.Linear(3, 3)
optimiser = torch.optim.Adam(layer.parameters(), fused=True)
for _ in range(3):
    optimiser.zero_grad()
    layer(torch.ones(2, 3)).square().sum().backward()
    optimiser.step()
print(layer.weight.sum().item(), "sympy" in sys.modules)
{last}
"""
_COMPILE = """
from torch._dynamo.utils import counters
print(torch.compile(lambda x: x * 2, backend="eager")(torch.ones(2)).tolist(), type(sys.modules["torch._dynamo"]).__name__)
"""


def _said(first: str = "", last: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _STEPS.format(first=first, last=last)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")


def test_the_same_steps_with_the_compiler_left_out_until_it_is_asked_for() -> None:
    usual, lean = _said(), _said("leave_compiler_out()", _COMPILE)
    weight, has_compiler = lean[0].split()
    assert weight == usual[0].split()[0]
    assert (has_compiler, usual[0].split()[1]) == ("False", "True")
    assert lean[1] == "[2.0, 2.0] module"
