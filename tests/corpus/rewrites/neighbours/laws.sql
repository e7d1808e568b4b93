-- A few tables of all kinds of columns, for the neighbours of laws.
create type pair as (a int, b int);
create table t (id int primary key, k int, g int not null, n numeric not null, r real, v varchar(9), c char(9), x text, y text not null, p pair, flag boolean, at timestamptz not null, seen timestamp not null, day date not null, later date);
create table u (id int primary key, t_id int not null references t (id), k int, g int not null, n numeric not null, x text, y text not null, at timestamptz not null, unique (g, y));
create table w (t_id int references t (id), y text);
