"""lentiMPRA of K562: activity of 230-bp constructs with the spread over replicates."""

from __future__ import annotations

from octodon.data.sets import sets
from octodon.data.sets._lentimpra import lentimpra_set

lentimpra_k562 = lentimpra_set("K562", rows={"train": 180_564, "valid": 22_570, "test": 22_571})
sets.register(lentimpra_k562.card.name)(lentimpra_k562)
