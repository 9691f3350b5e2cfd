-- The request budget and the circuit breaker of a host, for all crawls on all machines. Times are those of the
-- database, as the clocks of machines differ.

-- name: reserve_requests
-- Reserve the next places in a host's budget, a gap apart, the first a gap after the last place before. Returns no row,
-- and reserves none, if the breaker is open, or if too few of the day's requests (UTC) are left. The clock is read
-- after the row is locked; a day that was read before never sets the row back.
insert into ops.host_budgets as budgets (host, next_at, day, requests)
values (
    %(host)s,
    clock_timestamp() + make_interval(secs => %(gap)s * %(count)s),
    (clock_timestamp() at time zone 'UTC')::date,
    %(count)s
)
on conflict (host) do update
    set
        next_at = greatest(budgets.next_at, clock_timestamp()) + make_interval(secs => %(gap)s * %(count)s),
        day = greatest(budgets.day, excluded.day),
        requests = case when budgets.day < excluded.day then 0 else budgets.requests end + %(count)s,
        updated_at = clock_timestamp()
    where
        (budgets.open_until is null or budgets.open_until <= clock_timestamp())
        and (budgets.day < excluded.day or budgets.requests + %(count)s <= %(daily)s)
returning
    budgets.next_at - make_interval(secs => %(gap)s * %(count)s) as starts_at,
    extract(
        epoch from budgets.next_at - make_interval(secs => %(gap)s * %(count)s) - clock_timestamp()
    )::float8 as seconds,
    budgets.refusals_in_row > 0 as is_refusing;

-- name: blocked_by
-- Why there was no place. If both are false, requests may be sent again.
select
    open_until,
    coalesce(last_refusal, 'unknown') as kind,
    coalesce(open_until > clock_timestamp(), false) as is_open,
    day >= (clock_timestamp() at time zone 'UTC')::date and requests + %(count)s > %(daily)s as is_used_up
from ops.host_budgets
where host = %(host)s;

-- name: postpone_requests
-- Postpone the next request, as a Retry-After header asks.
insert into ops.host_budgets as budgets (host, next_at)
values (%(host)s, clock_timestamp() + make_interval(secs => %(seconds)s))
on conflict (host) do update
    set
        next_at = greatest(budgets.next_at, excluded.next_at),
        updated_at = clock_timestamp();

-- name: count_refusal
-- Count a refusal in a row. Locks the host's row for the next statement of the transaction.
insert into ops.host_budgets as budgets (host, refusals_in_row, last_refusal)
values (%(host)s, 1, %(kind)s)
on conflict (host) do update
    set
        refusals_in_row = budgets.refusals_in_row + 1,
        last_refusal = excluded.last_refusal,
        updated_at = clock_timestamp();

-- name: open_breaker
-- Open the breaker if the limit of refusals is reached: each time in a row for twice as long, up to a day; a day after
-- it was last open the count starts again. The count of refusals stays at least one below the limit, so that the first
-- refusal after the breaker has closed opens it again.
update ops.host_budgets
set
    times_opened = case when open_until > clock_timestamp() - interval '1 day' then times_opened + 1 else 1 end,
    open_until = clock_timestamp()
    + least(
        make_interval(secs => %(seconds)s)
        * case when open_until > clock_timestamp() - interval '1 day' then power(2, least(times_opened, 16)) else 1 end,
        interval '1 day'
    ),
    refusals_in_row = greatest(refusals_in_row, %(refusals)s - 1),
    updated_at = clock_timestamp()
where
    host = %(host)s
    and (%(at_once)s or refusals_in_row >= %(refusals)s)
    and (open_until is null or open_until <= clock_timestamp());

-- name: open_until
-- Until when the breaker is open; no row if it is closed.
select open_until
from ops.host_budgets
where
    host = %(host)s
    and open_until > clock_timestamp();

-- name: clear_refusals
-- Reset the count of refusals after a response. One to a request from before the breaker opened does not count.
update ops.host_budgets
set
    refusals_in_row = 0,
    updated_at = clock_timestamp()
where
    host = %(host)s
    and refusals_in_row > 0
    and (open_until is null or open_until <= clock_timestamp())
returning times_opened > 0 as was_open;

-- name: open_breakers
-- The hosts, of those given, whose breaker is open.
select
    host,
    open_until,
    coalesce(last_refusal, 'unknown') as kind
from ops.host_budgets
where
    host = any(%(hosts)s::text[])
    and open_until > clock_timestamp()
order by host;

-- name: take_place
-- Take the next place among all calls of a bot, and return the seconds until then.
insert into ops.telegram_pace as pace (bot_id, next_at)
values (%(bot_id)s::bigint, clock_timestamp() + make_interval(secs => %(gap)s))
on conflict (bot_id) do update
    set next_at = greatest(pace.next_at, clock_timestamp()) + make_interval(secs => %(gap)s)
returning extract(epoch from next_at - make_interval(secs => %(gap)s) - clock_timestamp())::float8 as seconds;
