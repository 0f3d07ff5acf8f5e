"""Losses of the contrastive methods."""
