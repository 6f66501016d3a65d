"""octodon: ensembles of sequence-to-activity networks, distilled into one network that knows how sure it is."""

__version__ = "0.1.0"
