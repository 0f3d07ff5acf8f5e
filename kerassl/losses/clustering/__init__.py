"""Losses of the clustering methods."""
