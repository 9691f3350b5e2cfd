"""The stand-in for Telegram's HTTP API."""
