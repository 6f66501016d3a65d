"""Variants: what a change of bases does to a prediction, and how sure that difference is."""
