"""The lots of the auction as cars of the Bulgarian market: blockers, values, rank, results. Imports deals.estimate,
deals.landed and vinops."""
