"""The bot: what people write and press, and what it answers."""
