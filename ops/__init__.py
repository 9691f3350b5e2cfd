"""Operations: the command line and what it runs."""
