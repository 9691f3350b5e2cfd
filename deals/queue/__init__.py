"""The outbox between the stages, and the runner that takes batches from it."""
