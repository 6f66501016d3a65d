"""Training: the loop that fits one network, its schedule and its augmentations."""
