"""Calibration: what is predicted against what was measured on rows that no network saw, and the intervals that follow.

A method is one file in ``methods/``; ``fit.py`` makes a ``Calibration`` from a prediction and its measurements, and
``calibration.py`` holds that record: plain numbers, applied to any later prediction of the same model.
"""
