"""Analysis of the texts of ads in Bulgarian: phrases, denials, words of risk; and numbers as people read them."""
