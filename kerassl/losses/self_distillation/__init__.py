"""Losses of the self-distillation methods."""
