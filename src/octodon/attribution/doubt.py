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
    if found.observed_std is not None:
        return found.observed_std[:rows], "std over\nmembers"
    if not isinstance(model, Student) or output != "activity":
        return None, ""
    doubt = attribute(
        model,
        found.codes[:rows],
        output="epistemic_std",
        target=target[0] if isinstance(target, tuple) else target,
        **how,
    )
    return np.abs(doubt.observed), "to epistemic\nstd, size"
