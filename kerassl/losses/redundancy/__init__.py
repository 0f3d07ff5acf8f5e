"""Losses of the redundancy methods."""
