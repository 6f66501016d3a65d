"""The poster's experiments as TOML, one file per experiment and scale; ``load.py`` reads them, ``plan.py`` says what they cost.

``[poster]`` says what is reproduced, in words and sizes; ``[config]`` is the experiment, ``[default]`` and ``[paper]`` what it
changes under either preset.
"""
