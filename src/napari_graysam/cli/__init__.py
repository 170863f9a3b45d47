"""The command line: ``graysam``.

Results go to standard output, everything else to standard error. Exit status: 0 done;
1 something failed for some input; 2 wrong usage or bad recipe; 130 stopped with Ctrl-C.
"""

from napari_graysam.cli.program import app, main

__all__ = ["app", "main"]
