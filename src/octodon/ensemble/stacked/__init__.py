"""Members of one architecture trained together: one step computes all of them; what pays on a GPU.

``state`` holds the members' tensors side by side, ``strategies`` are the ways to compute them at once (one file each),
``step`` is one step of Adam on all of them, ``choose`` times the strategies, ``fit`` trains to the end.
"""
