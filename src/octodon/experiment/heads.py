"""Which heads a run uses: those configured, and what "auto" means for its data and teachers."""

from __future__ import annotations

from octodon.data.examples import Examples
from octodon.distillation.labels import resolve_student_head
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.member_labels import check_member_head, resolve_head
from octodon.errors import ConfigError
from octodon.experiment.config import ExperimentConfig
from octodon.models.heads import heads
from octodon.records import MemberPredictions


def with_heads(
    config: ExperimentConfig, examples: Examples, teachers: Ensemble | MemberPredictions | None
) -> ExperimentConfig:
    """Return the configuration with every head named, as ``config.toml`` of the run spells it out.

    Raises
    ------
    ConfigError
        An unknown head, or one whose labels do not exist.
    DataError
        A head that learns the noise, and a target without replicates.
    """
    head = resolve_head(config.ensemble.head, examples)
    if teachers is None:
        check_member_head(head, examples)
    alone = config.activity_ensemble
    if alone is not None and set(heads[alone].needs) != {"activity"}:
        raise ConfigError(
            f"activity_ensemble: {alone!r} learns {', '.join(heads[alone].needs)}; expected a head that learns the activity "
            f"alone (mean, standardised_mean)"
        )
    student = resolve_student_head(config.distill.head, gives_noise(teachers, head))
    return config.model_copy(
        update={
            "ensemble": config.ensemble.model_copy(update={"head": head}),
            "distill": config.distill.model_copy(update={"head": student}),
        }
    )


def gives_noise(teachers: Ensemble | MemberPredictions | None, head: str) -> bool:
    """Return whether given teachers, or without them members with this head, predict the noise of a measurement."""
    if isinstance(teachers, MemberPredictions):
        return teachers.aleatoric_std is not None
    return "aleatoric_std" in heads[head if teachers is None else teachers.model.head].gives
