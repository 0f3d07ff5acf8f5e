"""Losses of the asymmetric methods."""
