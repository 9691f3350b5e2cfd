"""The downloader middlewares: hosts, budgets, refusals, proxies."""
