"""The downloader middlewares: allowed hosts, proxies, refusals, budgets. settings.py has their order."""
