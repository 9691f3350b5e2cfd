"""The stand-in for the classifieds site."""
