"""Images: which axis is which, reading files, and gray values in [0, 1]."""
