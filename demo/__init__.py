"""The demo: vinops end to end on this machine, with stand-ins for the sources, as a table of steps.

steps.py defines the steps, demo.py runs them, and world.py starts the stand-ins for the demo, for `--serve` and for the
screenshot of the monitor. This is the top layer: it may import everything, and only ops.cli imports it, by name.
"""
