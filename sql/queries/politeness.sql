-- The budget and the breaker of a host, for all crawls on all machines. Times are the database's: machines differ.

-- name: reserve_requests
-- Take the next places in a host's budget, a gap apart: the first not before the one before it is a gap old. All of
-- them or, with no row, none: the breaker is open, or so many are not left of the requests of the day (UTC). The clock
-- is read behind the row's lock; a day that was read before it never sets the row back.
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
-- Why there was no place. Nothing holds a request back any more if both are false.
select
    open_until,
    coalesce(last_refusal, 'unknown') as kind,
    coalesce(open_until > clock_timestamp(), false) as is_open,
    day >= (clock_timestamp() at time zone 'UTC')::date and requests + %(count)s > %(daily)s as is_used_up
from ops.host_budgets
where host = %(host)s;

-- name: postpone_requests
-- The host asked to be left alone for a while.
insert into ops.host_budgets as budgets (host, next_at)
values (%(host)s, clock_timestamp() + make_interval(secs => %(seconds)s))
on conflict (host) do update
    set
        next_at = greatest(budgets.next_at, excluded.next_at),
        updated_at = clock_timestamp();

-- name: count_refusal
-- One more refusal in a row. Locks the host's row for the statement that follows in the same transaction.
insert into ops.host_budgets as budgets (host, refusals_in_row, last_refusal)
values (%(host)s, 1, %(kind)s)
on conflict (host) do update
    set
        refusals_in_row = budgets.refusals_in_row + 1,
        last_refusal = excluded.last_refusal,
        updated_at = clock_timestamp();

-- name: open_breaker
-- Open the breaker if that was one refusal too many: each time in a row for twice as long, up to a day; a day after it
-- was last open the count begins anew. The row of refusals is left one short of the limit or beyond it, so that the
-- first refusal after the breaker has closed opens it again.
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
-- Until when the breaker is open; no row if it is not.
select open_until
from ops.host_budgets
where
    host = %(host)s
    and open_until > clock_timestamp();

-- name: clear_refusals
-- The host answered: the row of refusals ends. An answer to what was asked before the breaker opened does not count.
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
-- Those of the hosts whose breaker is open now.
select
    host,
    open_until,
    coalesce(last_refusal, 'unknown') as kind
from ops.host_budgets
where
    host = any(%(hosts)s::text[])
    and open_until > clock_timestamp()
order by host;
