"""What every site of ads shares: the ads in the database, the check of their fields, pages kept for inspection."""
