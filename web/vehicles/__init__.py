"""Vehicles by VIN, and what the search box finds."""
