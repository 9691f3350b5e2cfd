-- Exchange rates of the European Central Bank.

-- name: newest_rate
-- The newest rate of a currency: units for one euro.
select
    rate,
    day,
    source,
    fetched_at
from exchange_rates
where currency = %(currency)s
order by day desc
limit 1;

-- name: store_rate
-- Store a day's rate, unless it is there.
insert into exchange_rates (currency, day, rate, source)
values (%(currency)s, %(day)s, %(rate)s, %(source)s)
on conflict (currency, day) do nothing;
