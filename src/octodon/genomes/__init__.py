"""Genomes: windows slid along them, and what a model predicts there, as a table and as tracks."""
