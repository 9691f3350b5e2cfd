"""Personal alerts: watches, what they find, the bot that they are set with, and the messages about what was found."""
