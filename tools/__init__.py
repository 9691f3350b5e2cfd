"""Tools for those who change vinops; nothing that runs in production."""
