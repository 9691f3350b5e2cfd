"""Checks of a snapshot and of the configuration."""
