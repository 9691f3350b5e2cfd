"""Storage of photos and backups: one interface (`store`), kept in a folder or in an S3 bucket (`opening` chooses)."""
