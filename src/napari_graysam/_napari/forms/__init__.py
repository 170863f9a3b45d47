"""Widgets made from the fields of a recipe."""
