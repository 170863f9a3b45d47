"""Why a pixel has no mask: what became of every candidate there."""
