"""The work queue of the deals in PostgreSQL: the outbox, and the runner that takes a batch of it through a stage."""
