"""Snapshots: what the database, the machine and the logs say at one moment."""
