"""The lots of the auction as cars of the Bulgarian market: what speaks against them, what imported cars are discounted,
what is left of a price, results. Imports deals.estimate, deals.landed and vinops."""
