"""Figures from results: what a run leaves on disk or in memory, drawn; never torch, never pyplot.

One file per figure, each a function that takes records or tables and the path to write; ``style.py`` holds
what they share: colours that colour-blind readers can tell apart, fonts, and writing that gives the same
bytes for the same input. Figures use matplotlib's `Figure` object, so that no window, back-end or global
state is touched.
"""
