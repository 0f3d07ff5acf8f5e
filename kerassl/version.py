"""The version of kerassl."""

__version__ = "0.1.0"
