"""What stands beneath a logo: how sure the contributions are, or what the model's own uncertainty rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.attribution.attribute import attribute
from octodon.attribution.record import Attribution
from octodon.distillation.student import Student


def doubt_beneath(
    model: Any, found: Attribution, rows: int, *, output: str, target: Any = None, **how: Any
) -> tuple[Float[ndarray, "n l"] | None, str]:
    """Return the uncertainty of the first ``rows`` maps, position by position, and what to call it.

    Of members it is the std over their maps. A student has none: for its activity, what its epistemic std rests on. None where
    there is neither.

    Parameters
    ----------
    output, target, how
        As the maps were asked for from ``attribute``; of a difference of targets the first one's doubt is shown.
    """
    asked = asked_of_doubt(model, found, output=output, target=target)
    doubt = None if asked is None else attribute(model, found.codes[:rows], **how | asked)
    std, label = beneath_of(found, doubt)
    return None if std is None else std[:rows], label


def asked_of_doubt(
    model: Any, found: Attribution, *, output: str, target: Any = None
) -> dict[str, Any] | None:
    """Return what further maps show the doubt of maps, as options of ``attribute``; None where their members do, or none can."""
    if found.observed_std is not None or not isinstance(model, Student) or output != "activity":
        return None
    return {"output": "epistemic_std", "target": target[0] if isinstance(target, tuple) else target}


def beneath_of(found: Attribution, doubt: Attribution | None) -> tuple[Float[ndarray, "n l"] | None, str]:
    """Return the uncertainty of maps, with those that ``asked_of_doubt`` asked for, and what to call it; None where there is none."""
    if found.observed_std is not None:
        return found.observed_std, "std over\nmembers"
    if doubt is None:
        return None, ""
    return np.abs(doubt.observed), "to epistemic\nstd, size"
