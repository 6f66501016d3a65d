"""Effects as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy import ndarray

from octodon.variants.effects import Effects
from octodon.variants.null import Null
from octodon.variants.read import Variants

MEANINGS: Mapping[str, str] = {
    "ref": "predicted activity with the reference allele",
    "alt": "predicted activity with the alternative allele",
    "effect": "alt minus ref",
    "effect_epistemic_std": "std of the effect over models: how far they disagree about it",
    "effect_lower": "lower end of the interval of the effect over models",
    "effect_upper": "upper end of the interval of the effect over models",
    "sign_prob": "probability that the effect has its sign (0.5 to 1), over models",
    "z": "effect over its std",
    "null_percentile": "share of random mutations of shuffled sequences with at most this absolute effect, in percent",
}
OF_STD = ("effect_epistemic_std", "effect_lower", "effect_upper", "sign_prob", "z")
"""Of them those that only a model has which can tell how sure it is of a difference."""
OOD_MEANINGS: Mapping[str, str] = {
    "ref_ood_score": "how unusual the reference sequence is: percentile among the training sequences",
    "alt_ood_score": "how unusual the alternative sequence is: percentile among the training sequences",
}


def effects_frame(
    effects: Effects, target_names: tuple[str, ...], null: Null | None, level: float
) -> pd.DataFrame:
    """Return one row per variant; for each target the columns of ``MEANINGS`` that are known, as ``TARGET_NAME``."""
    interval = effects.interval(level)
    known: dict[str, ndarray | None] = {
        "ref": effects.ref,
        "alt": effects.alt,
        "effect": effects.effect,
        "effect_epistemic_std": effects.epistemic_std,
        "effect_lower": None if interval is None else interval[0],
        "effect_upper": None if interval is None else interval[1],
        "sign_prob": effects.sign_prob,
        "z": effects.z,
        "null_percentile": None if null is None else null.percentile(effects.effect),
    }
    columns: dict[str, ndarray] = {}
    for position, target in enumerate(target_names):
        for name in MEANINGS:
            values = known[name]
            if values is not None:
                columns[f"{target}_{name}"] = values[:, position].astype(np.float32)
    for name, values in (("ref_ood_score", effects.ref_ood), ("alt_ood_score", effects.alt_ood)):
        if values is not None:
            columns[name] = values.astype(np.float32)
    return pd.DataFrame(columns)


def variants_frame(variants: Variants) -> pd.DataFrame:
    """Return the variants as in VCF: chrom, pos (1-based), id, ref, alt."""
    return pd.DataFrame(
        {
            "chrom": variants.contigs,
            "pos": variants.starts + 1,
            "id": variants.ids,
            "ref": variants.refs,
            "alt": variants.alts,
        }
    )
