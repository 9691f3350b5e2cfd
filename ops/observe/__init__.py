"""Point-in-time status snapshots of the database, the machine, the logs and the workers."""
