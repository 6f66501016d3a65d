"""Baselines: other ways to an uncertainty, to hold ensembles and students against; one file each in ``methods/``."""
