"""Data in: readers (``formats``), the one record they return (``examples``), length policy, streaming, splits, data sets."""
