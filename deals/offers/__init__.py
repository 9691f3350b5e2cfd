"""Import deals over the stages of lots: what is queued anew, and the ranking as people read it. Imports deals.stages,
deals.lots, deals.landed and vinops."""
