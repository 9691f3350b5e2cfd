"""The monitor: panels of a snapshot as lines of text, and the live screen that shows them."""
