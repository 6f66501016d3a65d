"""Artefacts: a trained model as a folder of plain data, config.json + weights.safetensors + provenance.json."""
