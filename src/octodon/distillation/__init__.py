"""Distillation: what members predict becomes the labels of one student."""
