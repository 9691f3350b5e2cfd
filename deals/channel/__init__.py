"""The Telegram channel: the queue of messages, their text, and sending them."""
