"""The shared kernel: settings, database, storage, logs, alerts, vocabulary. It imports none of the other packages."""


def version() -> str:
    """Return the version that is installed; of a checkout that is not installed, `unknown`."""
    from importlib import metadata  # takes 30 ms to import

    try:
        return metadata.version("vinops")
    except metadata.PackageNotFoundError:
        return "unknown"
