"""The small model that ships inside the package: its trunk, config and weights."""
