-- What the codes of the feed mean, observed in the feeds of 2025 and 2026. A code not listed here flags its lot.

insert into staging.codes (field, code, value)
values
('vehicle_type', 'V', 'car'),
('vehicle_type', 'K', 'medium truck'),
('vehicle_type', 'U', 'heavy truck'),
('vehicle_type', 'C', 'motorcycle'),
('vehicle_type', 'D', 'dirt bike'),
('vehicle_type', 'A', 'atv'),
('vehicle_type', 'R', 'rv'),
('vehicle_type', 'B', 'bus'),
('vehicle_type', 'S', 'snowmobile'),
('vehicle_type', 'M', 'boat'),
('vehicle_type', 'J', 'jet ski'),
('vehicle_type', 'N', 'industrial'),
('vehicle_type', 'H', 'misc'),
('has_keys', 'YES', 'true'),
('has_keys', 'NO', 'false'),
('has_keys', 'EXM', null),
('yes_no', 'Y', 'true'),
('yes_no', 'N', 'false'),
('yes_no', 'TRUE', 'true'),
('yes_no', 'FALSE', 'false'),
('condition', 'D', 'run and drive'),
('condition', 'S', 'starts'),
('condition', 'E', null),
('odometer_brand', 'A', 'actual'),
('odometer_brand', 'N', 'not actual'),
('odometer_brand', 'E', 'exempt'),
('odometer_brand', 'X', null),
('sale_status', 'PURE SALE', 'pure sale'),
('sale_status', 'ON MINIMUM BID', 'minimum bid'),
('sale_status', 'ON APPROVAL', 'on approval'),
('sale_light', 'GREEN LIGHT', 'green'),
('sale_light', 'YELLOW LIGHT', 'yellow'),
('sale_light', 'RED LIGHT', 'red'),
('currency', 'USD', 'USD'),
('currency', 'CAD', 'CAD'),
('country', 'USA', 'USA'),
('country', 'CAN', 'CAN'),
('drive', 'FRONT WHEEL DRIVE', 'fwd'),
('drive', 'FRONT-WHEEL DRIVE', 'fwd'),
('drive', 'REAR WHEEL DRIVE', 'rwd'),
('drive', 'REAR-WHEEL DRIVE', 'rwd'),
('drive', 'ALL WHEEL DRIVE', 'awd'),
('drive', 'ALL-WHEEL DRIVE', 'awd'),
('drive', '4X4 W/REAR WHEEL DRV', '4wd'),
('drive', '4X4 W/FRONT WHL DRV', '4wd'),
('drive', 'REAR WHEEL DRIVE W/4X4', '4wd'),
('drive', 'FRONT WHEEL DRIVE W/4X4', '4wd'),
('drive', 'FOUR BY FOUR', '4wd'),
('drive', '4X2', '2wd'),
('drive', '6X4', '6x4'),
('drive', 'UNKNOWN', null),
('drive', 'OTHER', null),
('transmission', 'AUTOMATIC', 'automatic'),
('transmission', 'MANUAL', 'manual'),
('transmission', 'NONE', 'none'),
('transmission', 'UNKNOWN', null),
('fuel', 'GAS', 'gasoline'),
('fuel', 'FLEXIBLE', 'flex fuel'),
('fuel', 'FLEXIBLE FUEL', 'flex fuel'),
('fuel', 'ELECTRIC AND GAS HYBRID', 'hybrid'),
('fuel', 'HYBRID ENGINE', 'hybrid'),
('fuel', 'HYBRID', 'hybrid'),
('fuel', 'DIESEL', 'diesel'),
('fuel', 'ELECTRIC', 'electric'),
('fuel', 'COMPRESSED NATURAL GAS', 'cng'),
('fuel', 'HYDROGEN FUEL CELL', 'hydrogen'),
('fuel', 'PROPANE', 'lpg'),
('fuel', 'PROPANE GAS', 'lpg'),
('fuel', 'CONVERTIBLE', 'bi-fuel'),
('fuel', 'CONVERTIBLE TO GASEOUS POWERED', 'bi-fuel'),
('fuel', 'GAS AND OIL MIX', 'gas and oil mix'),
('fuel', 'UNKNOWN', null);

-- Words that are their own meaning: stored in lower case, listed so that a new one announces itself.
insert into staging.codes (field, code, value)
select
    'damage',
    word,
    nullif(lower(word), 'unknown')
from unnest(array[
    'ALL OVER', 'BIOHAZARD/CHEMICAL', 'BURN', 'BURN - ENGINE', 'BURN - INTERIOR', 'DAMAGE HISTORY', 'FRAME DAMAGE',
    'FRONT END', 'HAIL', 'MECHANICAL', 'MINOR DENT/SCRATCHES', 'MISSING/ALTERED VIN', 'NORMAL WEAR', 'PARTIAL REPAIR',
    'REAR END', 'REJECTED REPAIR', 'REPLACED VIN', 'ROLLOVER', 'SIDE', 'STRIPPED', 'TOP/ROOF', 'UNDERCARRIAGE',
    'UNKNOWN', 'VANDALISM', 'WATER/FLOOD'
]) as word;

insert into staging.codes (field, code, value)
select
    'color',
    word,
    lower(word)
from unnest(array[
    'BEIGE', 'BLACK', 'BLUE', 'BROWN', 'BURGUNDY', 'BURN', 'CHARCOAL', 'CREAM', 'CRIMSON', 'GOLD', 'GRAY', 'GREEN',
    'MAROON', 'ORANGE', 'PINK', 'PURPLE', 'RED', 'SILVER', 'TAN', 'TEAL', 'TURQUOISE', 'TWO TONE', 'WHITE', 'YELLOW'
]) as word;

insert into staging.codes (field, code, value)
values
('color', 'UNKNOWN - NOT OK FOR INV.', null);

-- A title code means something only together with its state. Only plain clear, salvage and destruction titles of
-- the states of the USA are named; every other pair is "other" and flagged, never "clean".
insert into staging.codes (field, code, value)
select
    'title',
    title_state || ' ' || title_type,
    title_group
from unnest(array[
    'AK', 'AL', 'AR', 'AZ', 'CA', 'CO', 'CT', 'DC', 'DE', 'FL', 'GA', 'HI', 'IA', 'ID', 'IL', 'IN', 'KS', 'KY', 'LA',
    'MA', 'MD', 'ME', 'MI', 'MN', 'MO', 'MS', 'MT', 'NC', 'ND', 'NE', 'NH', 'NJ', 'NM', 'NV', 'NY', 'OH', 'OK', 'OR',
    'PA', 'RI', 'SC', 'SD', 'TN', 'TX', 'UT', 'VA', 'VT', 'WA', 'WI', 'WV', 'WY'
]) as title_state
cross join (
    values
    ('CT', 'clean'),
    ('ST', 'salvage'),
    ('SC', 'salvage')
) as titles (title_type, title_group);

insert into staging.codes (field, code, value)
values
('title', 'TX SV', 'salvage'),
('title', 'NY SM', 'salvage'),
('title', 'MD S1', 'salvage'),
('title', 'MD S2', 'salvage'),
('title', 'FL CD', 'destruction');

-- The label follows the day of the snapshot, not the sale: the S or D in it says nothing and both mean one zone.
insert into staging.sale_zones (label, region, zone)
values
('EST', '', 'America/New_York'),
('EDT', '', 'America/New_York'),
('CST', '', 'America/Chicago'),
('CDT', '', 'America/Chicago'),
('MST', '', 'America/Denver'),
('MDT', '', 'America/Denver'),
('PST', '', 'America/Los_Angeles'),
('PDT', '', 'America/Los_Angeles'),
('HST', '', 'Pacific/Honolulu'),
('HDT', '', 'Pacific/Honolulu'),
-- Phoenix and Tucson say MST in winter and PDT in summer; Arizona keeps one time all year.
('MST', 'AZ', 'America/Phoenix'),
('MDT', 'AZ', 'America/Phoenix'),
('PST', 'AZ', 'America/Phoenix'),
('PDT', 'AZ', 'America/Phoenix'),
-- Anchorage says AKDT, ASDT or ADDT; the same AKST stands for Atlantic Canada.
('AKST', 'AK', 'America/Anchorage'),
('AKDT', 'AK', 'America/Anchorage'),
('ASST', 'AK', 'America/Anchorage'),
('ASDT', 'AK', 'America/Anchorage'),
('ADST', 'AK', 'America/Anchorage'),
('ADDT', 'AK', 'America/Anchorage'),
('AKST', 'CAN', 'America/Halifax'),
('AKDT', 'CAN', 'America/Halifax'),
('AKST', 'NB', 'America/Halifax'),
('AKDT', 'NB', 'America/Halifax'),
('AKST', 'NS', 'America/Halifax'),
('AKDT', 'NS', 'America/Halifax'),
('AKST', 'PE', 'America/Halifax'),
('AKDT', 'PE', 'America/Halifax'),
('AKST', 'NL', 'America/St_Johns'),
('AKDT', 'NL', 'America/St_Johns');
