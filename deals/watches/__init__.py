"""Watches: filters that people keep, the cars that they find, and what is said of them. The bot is built on it."""
