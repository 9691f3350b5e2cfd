"""Backups and restores: dumps verified by restoring them, kept in a folder or a bucket, brought back and compared."""
