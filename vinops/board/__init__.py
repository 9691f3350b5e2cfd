"""The board: what the site, its CSV and the alerts read of the market. Imports vinops only; the stage `score` writes it."""
