"""The value of a car: comparables, the price model over them, and how both are measured. Imports vinops alone."""
