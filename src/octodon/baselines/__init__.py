"""Baselines: what ensembles and students are held against.

Other ways to an uncertainty, one file each in ``methods/``; and ridge regression on k-mers, which every run is scored beside.
"""
