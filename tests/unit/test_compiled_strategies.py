"""Strategies that go through a compiler, in a process of its own: the checks of shapes in tests are no code to compile."""

import subprocess
import sys

import tiny

_SCRIPT = """
import sys
import torch
from octodon.ensemble.stacked.replace_modules import with_streams
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import MemberEpoch, Stepper
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._compiled import Compiled
from octodon.models.model import ModelConfig, build_model
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes
from octodon.training.schedule import Schedule

Compiled.backend = "aot_eager"  # traced, forward and backward, but without generating code
generator = torch.Generator().manual_seed(0)
codes = torch.randint(0, 5, (37, 40), generator=generator).to(torch.uint8)
train = LabelledCodes(codes=codes, labels={"activity": torch.randn(37, 2, generator=generator)})
config = TrainingConfig(batch_size=8, precision="float32")
model = ModelConfig(backbone=sys.argv[1], length=40, n_targets=2)
losses = {}
for name in ("loop", *(name for name in strategies if strategies[name].compiles)):
    models = [build_model(model, seed) for seed in range(3)]
    strategy = strategies[name](with_streams(models[0], 40), StackState.of(models))
    stepper = Stepper(strategy, train, config)
    schedule = Schedule(config, steps_per_epoch=len(stepper.slices))
    stepper.begin([MemberEpoch(seed=seed, epoch=0, schedule=schedule) for seed in range(3)])
    stepper.run()
    losses[name] = stepper.train_losses()
assert len(losses) == 3, losses
for name, found in losses.items():
    torch.testing.assert_close(found, losses["loop"], rtol=1e-4, atol=1e-4, msg=f"{name}: {losses}")
graphs = torch._dynamo.utils.counters
assert not graphs["graph_break"], dict(graphs["graph_break"])
"""


def test_compiled_strategies_give_the_losses_of_the_loop_dropout_included() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, f"{tiny.__file__}:TinyBackbone"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
