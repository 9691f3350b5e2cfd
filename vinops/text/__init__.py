"""Analysis of the texts of ads in Bulgarian: phrases, denials, words of risk. Numbers and tables for people."""
