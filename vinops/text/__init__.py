"""Analysis of the texts of ads in Bulgarian: phrases, denials, and words of risk."""
