"""Analysis of the texts of ads in Bulgarian: phrases, denials, words of risk, phone numbers and contacts. Numbers and
tables for people; text from outside as it may be shown."""
