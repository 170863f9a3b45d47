"""Images larger than memory in the panel: the view, a region, or all of it in tiles."""
