"""Stand-ins for the outside world on loopback: what the tests and the demo talk to instead of the real sites."""
