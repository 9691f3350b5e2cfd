"""The pages: pure functions of a response that return typed items."""
