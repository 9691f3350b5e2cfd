"""How long the backfill takes, and what photos cost."""
