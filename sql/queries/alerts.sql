-- Alerts to the owner.

-- name: raise_alert
-- Open an alert, or count that it was raised again: one is open for each kind and subject.
insert into ops.alerts as alerts (kind, subject, message)
values (%(kind)s, %(subject)s, %(message)s)
on conflict (kind, subject) where cleared_at is null do update
    set times = alerts.times + 1
returning alerts.times;

-- name: clear_alert
-- Close an alert; one that is to be delivered first stays open until it was.
update ops.alerts
set cleared_at = clock_timestamp()
where
    kind = %(kind)s
    and subject = %(subject)s
    and cleared_at is null
    and (delivered_at is not null or not %(once_delivered)s);

-- name: next_alert
-- The next alert that was not delivered, locked, so that only one process gets it. None while the delivering host asks
-- for a pause.
select
    id,
    kind,
    subject,
    message
from ops.alerts
where
    delivered_at is null
    and cleared_at is null
    and not exists (
        select 1
        from ops.host_budgets
        where
            host_budgets.host = %(host)s
            and host_budgets.next_at > clock_timestamp()
    )
order by id
limit 1
for update of alerts skip locked;

-- name: mark_delivered
-- Mark an alert as delivered.
update ops.alerts
set delivered_at = clock_timestamp()
where id = %(id)s;
