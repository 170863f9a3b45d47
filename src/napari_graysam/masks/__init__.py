"""Masks: bits inside a box, which mask is which, label images and run lengths."""
