"""The demo: the main job end to end on this machine, with stand-ins for the sources."""
