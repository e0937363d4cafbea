"""The version of graphprune and of what it stands on."""

from importlib.metadata import version

__version__ = version("graphprune")
