"""What is new in a file, and into the database with it."""
