-- Where each photo is kept: in the folder of the data folder, or in a bucket.
-- depends: 0014_celery_progress

create table photo_stores (
    id integer generated always as identity primary key,
    name text not null unique
);

comment on table photo_stores is 'the places where photos were ever stored: `folder`, or `bucket NAME at HOST`';

-- Without a default: no row is written, however many there are.
alter table images add column store_id integer references photo_stores (id);
create index images_store on images (store_id);

comment on column images.store_id is 'where the object is; null: recorded before this column was there';
