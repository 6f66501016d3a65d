"""Saturation mutagenesis that computes only what a mutation changes.

A mutation at one position changes a short window of every convolution's output; everything outside it is that of the
unmutated sequence (Nair et al. 2022, Bioinformatics 38, 2397, "fastISM"). ``trace`` records what a network calls, ``program``
reads it as layers over positions, ``windows`` says which positions of each layer a mutation can change, ``reader`` computes
those for many mutants at once. Convolutions and the dense layer after them are linear, so only DIFFERENCES to the
unmutated sequence pass through them: a third fewer products than recomputing the window, and no copy of the features.
"""
