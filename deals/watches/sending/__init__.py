"""The messages of alerts: which are queued and when, how they are sent, and what they say."""
