"""Runs and the layers that show their results."""
