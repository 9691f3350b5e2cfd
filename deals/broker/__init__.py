"""The brokers of Celery: Redis in production, a folder without it. Imports nothing of deals."""
