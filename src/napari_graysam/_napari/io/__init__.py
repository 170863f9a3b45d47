"""Readers, writers, sample data and filters for napari's menus."""
