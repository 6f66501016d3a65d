"""Why a way to compute a stack does not apply."""


class Unsuitable(Exception):
    """A strategy cannot compute this backbone here; the message says why, completing "... because"."""
