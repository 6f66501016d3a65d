"""The configuration of an experiment: TOML -> typed values; unknown keys are refused with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field

from octodon.atomic import expanded
from octodon.data.examples import Examples
from octodon.data.read import absolute_paths
from octodon.distillation.config import DISTILL_PRESETS, DistillConfig
from octodon.ensemble.config import ENSEMBLE_PRESETS, EnsembleConfig
from octodon.errors import ConfigError
from octodon.experiment.calibrate_config import CalibrateSection
from octodon.experiment.examine_config import ExamineSection
from octodon.experiment.ood_config import OodSection
from octodon.models.model import ModelConfig
from octodon.settings import PRESET_NAMES, Config, Preset, checked, merge, preset_of

PRESETS: dict[str, dict[str, Any]] = {
    name: {"ensemble": ENSEMBLE_PRESETS[name], "distill": DISTILL_PRESETS[name]} for name in PRESET_NAMES
}
PRESETS["paper-lentimpra"]["activity_ensemble"] = "mean"
"""What a preset changes in the class defaults, section by section. ``paper``: the published choices for DeepSTARR (no noise);
``paper-lentimpra``: the published three stages, an activity ensemble, one of activity and noise, and its student."""

_PUBLISHED_SO = ("deepstarr", "mprann", "residualbind")


class ModelSection(Config):
    """Which network."""

    backbone: str = Field(
        default="deepstarr", description="a name (octodon list backbones) or path/to/file.py:Class"
    )
    options: dict[str, Any] = Field(default={}, description="keyword arguments of the backbone")


class RunSection(Config):
    """Where and how it is computed; nothing here changes a result on a CPU but ``device``."""

    processes: int | None = Field(
        default=None, ge=0, description="worker processes on a CPU; default one per core"
    )
    device: str = Field(
        default="auto", description="auto, cpu or cuda; a GPU that is asked for must be there"
    )
    executor: str = Field(
        default="local",
        description="local: processes of this machine; ray: tasks of a cluster (see docs/cluster.md)",
    )
    address: str | None = Field(
        default=None,
        description="of a Ray cluster: auto, host:6379 or ray://host:10001; default: one is started on this machine",
    )
    strategy: str = Field(
        default="auto",
        description="separate: each network alone; stacked: together, the fastest way being timed; or the name of a way "
        "(see docs/gpu.md); auto: stacked on a GPU",
    )

    @property
    def device_here(self) -> str:
        """Where this process itself computes: with a cluster, whose GPUs it may not have, where there is one."""
        return self.device if self.executor == "local" or self.device == "cpu" else "auto"


class ExperimentConfig(Config):
    """Everything that determines a run."""

    preset: Preset = "default"
    seed: int = Field(default=0, ge=0, description="every random number follows from it")
    train_fraction: float = Field(
        default=1.0, gt=0, le=1, description="share of the training rows, seeded and nested"
    )
    data: dict[str, Any] = Field(description="what to read; see octodon list readers")
    split: dict[str, Any] = Field(
        default={}, description="how to split; default: the split column, else fractions"
    )
    model: ModelSection = ModelSection()
    activity_ensemble: str | None = Field(
        default=None,
        description="head of a further ensemble that learns the activity alone (mean or standardised_mean), with the members "
        "and training of [ensemble], on the same split: stage 1 of the lentiMPRA protocol, kept in ensemble_activity/",
    )
    ensemble: EnsembleConfig = EnsembleConfig()
    distill: DistillConfig = DistillConfig()
    calibrate: CalibrateSection = CalibrateSection()
    ood: OodSection = OodSection()
    examine: ExamineSection = ExamineSection()
    baselines: dict[str, dict[str, Any]] = Field(
        default={},
        description="other ways to an uncertainty, trained beside on the same rows and scored in results/baselines.tsv: one "
        "section each with its options, e.g. [baselines.mc_dropout]; see octodon list baselines",
    )
    run: RunSection = RunSection()

    def member(self, examples: Examples) -> ModelConfig:
        """Return what a member of the ensemble is that learns these data."""
        return ModelConfig(
            backbone=self.model.backbone,
            length=examples.length,
            n_targets=len(examples.target_names),
            head=self.ensemble.head,
            options=self.model.options,
        )


def load_config(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Return the configuration of a TOML file.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``"ensemble.members=5"``; values are TOML, or plain text.

    Raises
    ------
    ConfigError
        No file, one that cannot be read, not TOML, an unknown key (with a suggestion), a value of the wrong type or out
        of range.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except OSError as error:
        # a name that is too long, no permission
        raise ConfigError(
            f"{str(path)[:80]}: cannot be read: {error.strerror}; give the path of a TOML file that you may read"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if text is None:
        raise ConfigError(f"{path}: no such file; expected a TOML file (see README, or octodon run --help)")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    for override in overrides:
        content = merge(content, parse_override(override))
    return with_absolute_paths(resolve(content, where=str(path)), path.parent)


def with_absolute_paths(config: ExperimentConfig, base: Path) -> ExperimentConfig:
    """Return the configuration with the paths of data, pool and own backbone made absolute; they are relative to ``base``.

    Raises
    ------
    ConfigError
        As ``absolute_paths``.
    """
    backbone = _absolute_backbone(config.model.backbone, base)
    distill = config.distill
    if distill.pool is not None:
        distill = distill.model_copy(update={"pool": (base / expanded(distill.pool)).resolve()})
    return config.model_copy(
        update={
            "data": absolute_paths(config.data, base),
            "model": config.model.model_copy(update={"backbone": backbone}),
            "distill": distill,
        }
    )


def resolve(content: Mapping[str, Any], where: str = "experiment") -> ExperimentConfig:
    """Return the typed configuration of plain values, the preset's choices filled in below the given ones."""
    preset = content.get("preset", "default")
    changes = preset_of(preset, PRESETS, where)
    if "data" not in content:
        raise ConfigError(f"{where}: no [data] section; expected at least data.path and data.targets")
    return checked(ExperimentConfig, merge(changes, content), where)


def preset_note(config: ExperimentConfig) -> str | None:
    """Return a line where a published preset trains a network that was not published with this training; else None."""
    if config.preset == "default" or config.model.backbone in _PUBLISHED_SO:
        return None
    return (
        f"preset {config.preset}: its training was published for {', '.join(_PUBLISHED_SO)}, not for "
        f"{config.model.backbone} (docs/method.md)"
    )


def dump(config: ExperimentConfig) -> str:
    """Return the configuration as TOML with every default spelled out; reading it back gives an equal one."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def parse_override(text: str) -> dict[str, Any]:
    """Return ``{"ensemble": {"members": 5}}`` for ``"ensemble.members=5"``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: expected SECTION.KEY=VALUE, for example ensemble.members=5")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for name in reversed(key.strip().split(".")):
        parsed = {name: parsed}
    return parsed


def _absolute_backbone(backbone: str, base: Path) -> str:
    """Return a registered name as it is, ``file.py:Class`` with the path made absolute (it is relative to ``base``)."""
    file, colon, name = backbone.rpartition(".py:")
    return f"{(base / expanded(file)).resolve()}.py:{name}" if colon else backbone
