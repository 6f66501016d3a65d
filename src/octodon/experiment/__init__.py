"""Experiments: a TOML file in, a folder with an ensemble, a student, metrics and figures out."""
