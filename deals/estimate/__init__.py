"""What a car is worth: comparables, the price model over them, and how good both are."""
