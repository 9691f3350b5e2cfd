"""Where `celery -A deals` looks for the application."""

from deals.app import app

__all__ = ["app"]
