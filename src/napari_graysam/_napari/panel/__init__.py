"""The panel: one dock with every parameter, the run and its results."""
