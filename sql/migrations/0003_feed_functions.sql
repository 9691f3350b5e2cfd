-- How the raw text of a feed value is read. What cannot be read is null. Each function is one CASE that uses its
-- parameter only as it is, so that PostgreSQL inlines it: a call that is not inlined costs ten times as much. Patterns
-- are kept to one loop a part and leave lengths and ranges to comparisons: "{2}" and "|" cost up to ten times as much
-- again (measured over 154,000 rows).

-- Money: "26305.62"; 0 means unknown. What numeric(12, 2) could not hold, rounded, is no price.
create function staging.to_amount(t text) returns numeric
language sql immutable parallel safe
return case
    when t ~ '^[0-9]+(\.[0-9]+)?$' and length(t) < 20 and t::numeric < 9999999999.995
        then nullif(t::numeric, 0)
end;

-- Counts and mileage: "205589.0"; 0 means unknown.
create function staging.to_count(t text) returns integer
language sql immutable parallel safe
return case
    when t ~ '^[0-9]+(\.[0-9]+)?$' and position('.' in t || '.') < 11 and length(t) < 20
        then nullif(t::numeric::integer, 0)
end;

-- Numbers that name something (yard, item): "345"; 0 means none.
create function staging.to_number(t text) returns integer
language sql immutable parallel safe
return case when t !~ '[^0-9]' and length(t) between 1 and 9 then nullif(t::integer, 0) end;

-- The model year: "2017"; 0 means unknown.
create function staging.to_year(t text) returns integer
language sql immutable parallel safe
return case when t !~ '[^0-9]' and length(t) = 4 and t between '1850' and '2099' then t::integer end;

-- "20260730"; "0" means unscheduled. The years are those in which every fourth one is a leap year.
create function staging.to_date(t text) returns date
language sql immutable parallel safe
return case
    when t ~ '[^0-9]' or length(t) <> 8 or left(t, 4) not between '1901' and '2099' then null
    when substr(t, 5, 2) not between '01' and '12' or substr(t, 7) not between '01' and '31' then null
    when substr(t, 7) > '30' and substr(t, 5, 2) in ('02', '04', '06', '09', '11') then null
    when substr(t, 5) = '0230' or (substr(t, 5) = '0229' and left(t, 4)::integer % 4 > 0) then null
    else make_date(left(t, 4)::integer, substr(t, 5, 2)::integer, substr(t, 7)::integer)
end;

-- HHMM without its leading zeros: "1200", "700", "0" for midnight.
create function staging.to_time(t text) returns time
language sql immutable parallel safe
return case
    when t !~ '[^0-9]' and length(t) between 1 and 4 and t::integer < 2400 and t::integer % 100 < 60
        then make_time(t::integer / 100, t::integer % 100, 0)
end;

-- "2025-10-14T07:01:00Z"
create function staging.to_instant(t text) returns timestamptz
language sql stable parallel safe
return case
    when t not like '____-__-__T__:__:__Z' or translate(t, '0123456789', '') <> '--T::Z' then null
    when substr(t, 12, 2) > '23' or substr(t, 15, 2) > '59' or substr(t, 18, 2) > '59' then null
    when left(t, 4) not between '1901' and '2099' or substr(t, 6, 2) not between '01' and '12' then null
    when
        substr(t, 9, 2) not between '01' and '28' and staging.to_date(replace(left(t, 10), '-', '')) is null then null
    else t::timestamptz
end;

-- "2025-10-14-08.55.06.000795": the yard's wall clock.
create function staging.to_wall_clock(t text) returns timestamp
language sql stable parallel safe
return case
    when t not like '____-__-__-__.__.__.______' or translate(t, '0123456789', '') <> '---...' then null
    when substr(t, 12, 2) > '23' or substr(t, 15, 2) > '59' or substr(t, 18, 2) > '59' then null
    when left(t, 4) not between '1901' and '2099' or substr(t, 6, 2) not between '01' and '12' then null
    when
        substr(t, 9, 2) not between '01' and '28' and staging.to_date(replace(left(t, 10), '-', '')) is null then null
    else (left(t, 10) || ' ' || replace(substr(t, 12, 8), '.', ':') || substr(t, 20))::timestamp
end;

-- "1FTFW1E50NKE00000", in any case, with blanks or dashes; also the shorter numbers of old cars and of boats.
create function staging.to_vin(t text) returns text
language sql immutable parallel safe
return case
    when t !~ '[^0-9A-Z]' and length(t) between 5 and 17 then t
    when
        upper(translate(t, ' -', '')) !~ '[^0-9A-Z]' and length(translate(t, ' -', '')) between 5 and 17
        then upper(translate(t, ' -', ''))
end;

-- The codes of one field as a map, for `(select staging.code_map('fuel')) ->> code`: PostgreSQL reads the map once a
-- statement, also in parallel plans, where a join would look up every row.
create function staging.code_map(of_field text) returns jsonb
language sql stable parallel safe
return (
    select jsonb_object_agg(code, value) from staging.codes
    where field = of_field
);
