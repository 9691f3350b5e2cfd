"""The stages of an ad, a module each, and their registry. Imports deals.estimate and vinops."""
