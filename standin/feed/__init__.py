"""The stand-in for the member feed."""
