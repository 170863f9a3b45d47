"""The tool that adds, corrects and removes single objects by clicking."""
