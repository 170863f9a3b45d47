"""Whole stacks: every plane segmented, in one layer an arm, and linked."""
