"""From proposals to masks, label images, tables and records: cheap, no model needed."""
