"""lentiMPRA of HepG2: activity of 230-bp constructs with the spread over replicates."""

from __future__ import annotations

from octodon.data.sets import sets
from octodon.data.sets._lentimpra import lentimpra_set

lentimpra_hepg2 = lentimpra_set("HepG2", rows={"train": 111_518, "valid": 13_942, "test": 13_939})
sets.register(lentimpra_hepg2.card.name)(lentimpra_hepg2)
