"""The deals pipeline: ads become normalized, priced and scored, and the best are posted to Telegram."""
