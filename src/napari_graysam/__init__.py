"""Segment everything in grayscale images with SAM 2, and see what preprocessing changed."""
