"""The demo: vinops end to end on this machine, with stand-ins for the sources, as a table of steps.

steps.py is the table, demo.py goes through it, world.py starts the stand-ins for the demo, for `--serve` and for the
picture of the monitor. The top layer: it may import everything, and only ops.cli imports it, by name.
"""
