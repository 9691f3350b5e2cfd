"""Workers: what runs, what starts it, and the supervisor that keeps it running."""
