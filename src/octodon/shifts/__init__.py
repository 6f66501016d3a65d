"""Sequences unlike the training sequences, made from a test set."""
