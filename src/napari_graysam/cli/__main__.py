"""Run the command line with ``python -m napari_graysam.cli``."""

from napari_graysam.cli import main

if __name__ == "__main__":
    main()
