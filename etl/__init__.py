"""The feed pipeline: fetch → archive → read → diff → merge → audit. Standard library and psycopg only."""
