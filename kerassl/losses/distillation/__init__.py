"""Losses of a student that learns from a teacher."""
