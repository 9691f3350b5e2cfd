"""The pages: pure functions of a response that return typed items. Nothing else in the package reads a body."""
