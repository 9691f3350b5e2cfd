"""The shared kernel: settings, database, storage, logs, alerts, vocabulary. It imports none of the other packages."""
