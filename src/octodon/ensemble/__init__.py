"""Ensembles: members from (config, seed, index, data), run in processes or in line, and what they predict."""
