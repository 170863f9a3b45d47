"""Work in other threads, and its way back to the window."""
