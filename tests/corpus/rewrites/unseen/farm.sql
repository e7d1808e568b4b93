create table fields (id int primary key, name text not null unique, area numeric(8,2) not null, crop text, parent_id int references fields (id));
create table workers (id int primary key, name text not null, manager_id int references workers (id), hired date not null, left_on date, wage int not null check (wage > 0), email varchar(80) unique);
create table harvests (field_id int not null references fields (id), season int not null, tons numeric not null, grade char(1), note text, primary key (field_id, season));
create table shifts (id bigint primary key, worker_id int not null references workers (id), field_id int references fields (id), starts timestamp not null, ends timestamp, hours numeric(4,1), paid boolean not null default false);
create table sensors (id int primary key, field_id int not null references fields (id), kind text not null check (kind in ('rain', 'soil', 'wind')), serial uuid not null unique);
create table readings (sensor_id int not null references sensors (id), at timestamptz not null, value double precision, quality smallint not null, primary key (sensor_id, at));
create type phase as enum ('planned', 'open', 'done');
create table tasks (id bigint primary key, field_id int not null references fields (id), worker_id int references workers (id), state phase not null, priority int not null default 3, due date, tags text[] not null default '{}', extra jsonb not null default '{}');
