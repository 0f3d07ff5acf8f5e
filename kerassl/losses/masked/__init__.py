"""Losses of the masked methods."""
