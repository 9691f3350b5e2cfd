"""Lots as the site and the command line read them: the filter, its SQL, orders, pages, one lot, the rows of a CSV."""
