-- Parents and children of all kinds of columns, for the neighbours of laws.
create type state as enum ('new', 'old');
create table p (id int primary key, name text not null, state state not null, was state, size numeric, day date, doc jsonb not null, j json, tags text[], codes int[], marks varchar(9)[], b boolean not null, f boolean);
create table c (id int primary key, p_id int not null references p (id), q_id int references p (id), code int, kind text not null, note text, n numeric(9, 2) not null, r real not null, at timestamp not null, v varchar(9) not null);
create table d (id int primary key, c_id int not null references c (id), p_id int, code int, kind text not null);
