"""For scrapyd-deploy alone, which builds its egg with `python setup.py bdist_egg`; pyproject.toml says everything."""

from setuptools import setup

setup()
