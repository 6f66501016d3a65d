"""What octodon raises when it refuses: one line that says where, got, expected and what to do."""


class OctodonError(Exception):
    """A mistake that the user can mend; the command line prints its one line and exits with code 2."""


class DataError(OctodonError):
    """The data cannot be used as they are."""


class ConfigError(OctodonError):
    """A setting is unknown, of the wrong type or out of range."""


class BundleError(OctodonError):
    """A saved model cannot be read or does not fit what it is asked for."""


class RunError(OctodonError):
    """A run cannot start, go on or finish."""
