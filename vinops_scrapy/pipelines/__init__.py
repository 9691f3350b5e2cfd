"""The pipelines: validate, store, record, in that order."""
