-- A vehicle type that was seen in feeds of 2026 and is in no list: trailers. Lots that were flagged for it stay so
-- until their row changes.

insert into staging.codes (field, code, value)
values ('vehicle_type', 'L', 'trailer');
