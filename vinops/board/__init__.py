"""The board: what the site, its CSV and the alerts read of the market. The stage `score` writes it."""
