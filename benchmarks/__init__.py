"""Measurements side by side with other libraries; each result names the command that made it."""
