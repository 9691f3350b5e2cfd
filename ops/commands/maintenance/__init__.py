"""The commands of maintenance: backups, retention, credentials. Thin: parse, call, print."""
