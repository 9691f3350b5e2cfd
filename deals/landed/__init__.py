"""Import deals: what a lot costs landed in Bulgaria. Amounts are data (tariffs/*.toml), the functions of them are pure:
they read no clock, no database and no settings.

    tariffs = book.load(settings.tariffs_dir).on(day)
    profile = profiles.load(settings.data_dir).default
    rates = Rates(usd=Decimal("1.10"))
    quote.quote(lot, bid, profile, tariffs, rates)            one lot, line by line
    quote.most_bid(lot, limit, profile, tariffs, rates)       the most one may bid
    bulk.costs_of(lots, profile, tariffs, rates)              the same for many lots, in whole cents

The stages of deals, the commands and the site import this package; it imports vinops only.
"""
