"""The module in which `celery -A deals` finds the application."""

from deals.app import app

__all__ = ["app"]
