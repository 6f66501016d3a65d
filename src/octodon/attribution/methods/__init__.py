"""Attribution methods: one file each. A method turns a scalar and sequences into maps; it knows of no file or model class."""

from octodon.attribution.methods._base import Explanation, Method
from octodon.registry import Registry

methods: Registry[type[Method]] = Registry("method", __name__)

__all__ = ["Explanation", "Method", "methods"]
