"""The stand-in for the exchange rates of the European Central Bank."""
