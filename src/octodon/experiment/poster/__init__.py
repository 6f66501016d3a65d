"""The poster's experiments as TOML, one file per experiment and scale; ``octodon.experiment.reproduce`` reads them.

``[poster]`` says what is reproduced, in words and sizes; ``[config]`` is the experiment, ``[default]`` and ``[paper]`` what it
changes under either preset.
"""
