"""Blocks of a stack with few passes over memory: what is computed, in PyTorch (``torch_passes``) and in Triton (``triton_passes``).

Between the matrix products of a convolutional network lie shifts, sums, normalisation, pooling and activation, each of which
reads and writes what the product wrote. On a GPU they take most of the time; fused, each block passes over its activations about
once a direction.
"""
