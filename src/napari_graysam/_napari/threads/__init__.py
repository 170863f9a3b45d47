"""Worker threads, and the way of their results back to the GUI thread."""
