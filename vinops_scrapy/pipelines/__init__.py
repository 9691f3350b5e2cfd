"""The pipelines: photos are validated, stored and recorded, list pages are recorded."""
