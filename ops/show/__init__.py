"""Showing things on a terminal: text, tables, panels, the monitor."""
