"""The foldable sections of the panel."""
