"""The live preview of what the model will see."""
