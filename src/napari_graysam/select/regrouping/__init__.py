"""One object, one mask: fragments are merged and joined objects split, by evidence."""
