"""Sequences: strings, uint8 codes, one-hot, reverse complement; pure, no input or output."""
