"""The stages of an ad, in order, and what each of them does."""
