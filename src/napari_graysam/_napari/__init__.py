"""The napari plugin: a thin layer of widgets and layers over the library."""
