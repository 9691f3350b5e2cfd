"""The site: server-rendered pages of the market, for the people of `vinops users`.

`app.py` builds the application from the table of routes (`routes.py`); `pages/` has one function for each route, by
subject; `templates/`, `static/` and `locale/` are what they render with. The site reads through vinops/board and
people.py, and writes accounts, sign-ins and marks only. It may import everything but the commands and the demo;
ops.commands starts it.
"""
