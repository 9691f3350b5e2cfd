"""What the words of an ad say: phrases, denials, and words of risk, in Bulgarian."""
