-- Placeholders that stand where a VIN is due are no VINs, and times from the future are no times. What was loaded
-- before that was known is repaired once, as the tables tell; the next file brings the rest: etl/store/state.py.
-- depends: 0010_operations

-- A VIN that more than a few makes share at once is a placeholder.
create table staging.placeholder_vins (
    vin text primary key,
    found_at timestamptz not null default now()
);

comment on table staging.placeholder_vins is
'what stood as VIN under more makes at once than one vehicle can have; remove a row that is a VIN after all';

-- What that is told from.
create table staging.shared_vins (
    lot_external_id bigint primary key,
    vin text not null,
    make text not null
);

create index shared_vins_vin on staging.shared_vins (vin);

comment on table staging.shared_vins is 'the makes of lots whose VIN another make has too, or had';

-- "1FTFW1E50NKE00000", in any case, with blanks or dashes; also the shorter numbers of old cars and of boats. One sign
-- that repeats ("00000000000000000", "XXXXX") is a placeholder.
create or replace function staging.to_vin(t text) returns text
language sql immutable parallel safe
return case
    when rtrim(t, left(t, 1)) = '' then null
    when t !~ '[^0-9A-Z]' and length(t) between 5 and 17 then t
    when rtrim(upper(translate(t, ' -', '')), left(upper(translate(t, ' -', '')), 1)) = '' then null
    when
        upper(translate(t, ' -', '')) !~ '[^0-9A-Z]' and length(translate(t, ' -', '')) between 5 and 17
        then upper(translate(t, ' -', ''))
end;

-- The makes of lots that share a VIN, as far as their raw rows are still kept.
insert into staging.shared_vins (lot_external_id, vin, make)
select
    lots.lot_external_id,
    vehicles.vin,
    raw_row.make
from vehicles
inner join lots on vehicles.id = lots.vehicle_id
inner join staging.copart_raw as raw_row on lots.file_id = raw_row.file_id and lots.row_hash = raw_row.row_hash
where
    vehicles.vin is not null
    and raw_row.make is not null
    and vehicles.id in (
        select shared.vehicle_id from lots as shared
        group by shared.vehicle_id
        having count(*) > 1
    )
on conflict (lot_external_id) do nothing;

insert into staging.placeholder_vins (vin)
select shared.vin
from staging.shared_vins as shared
inner join lots on shared.lot_external_id = lots.lot_external_id
where lots.status = 'active'
group by shared.vin
having count(distinct shared.make) > 3;

-- Vehicles of placeholders: each lot gets one of its own. What is known of it comes with the next file.
create temporary table joint on commit drop as
select
    vehicles.id,
    vehicles.vin
from vehicles
where
    rtrim(vehicles.vin, left(vehicles.vin, 1)) = ''
    or vehicles.vin in (select placeholders.vin from staging.placeholder_vins as placeholders);

insert into vehicles (lot_external_id, make)
select
    lots.lot_external_id,
    shared.make
from joint
inner join lots on joint.id = lots.vehicle_id
left join staging.shared_vins as shared on lots.lot_external_id = shared.lot_external_id and joint.vin = shared.vin
on conflict (lot_external_id) do nothing;

update lots
set
    vehicle_id = own.id,
    previous_lot_id = null
from joint, vehicles as own
where lots.vehicle_id = joint.id and lots.lot_external_id = own.lot_external_id;

delete from vehicles using joint
where vehicles.id = joint.id;

delete from staging.shared_vins using joint
where shared_vins.vin = joint.vin;

update images
set vin = null
where rtrim(vin, left(vin, 1)) = '' or vin in (select joint.vin from joint);

-- No row has such a digest: whatever the next file says of the lot is read.
update lots
set
    vin = null,
    flags = array_append(array_remove(flags, 'vin'), 'vin'),
    row_hash = decode(md5(row_hash), 'hex')
where rtrim(vin, left(vin, 1)) = '' or vin in (select joint.vin from joint);

-- Times from the future, and what they kept from changing: the lot itself, and the vehicle of each of its lots.
update lots
set row_hash = decode(md5(lots.row_hash), 'hex')
from vehicles
where
    lots.vehicle_id = vehicles.id
    and (lots.last_updated_at > now() + interval '1 hour') is not true
    and vehicles.last_updated_at > now() + interval '1 hour';

update vehicles
set last_updated_at = null
where last_updated_at > now() + interval '1 hour';

update lots
set
    last_updated_at = null,
    flags = array_append(array_remove(flags, 'last_updated_at'), 'last_updated_at'),
    row_hash = decode(md5(row_hash), 'hex')
where last_updated_at > now() + interval '1 hour';
