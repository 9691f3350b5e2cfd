"""The object store of photos and backups: a folder, or a bucket of R2 or anything else that speaks S3."""
