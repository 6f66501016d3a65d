"""Prediction: anything that answers for sequences, and streams of sequences through it."""
