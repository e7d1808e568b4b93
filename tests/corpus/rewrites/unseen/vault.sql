create table accounts (
  id bigint primary key, owner text not null, email text collate "C", kind char(3), balance numeric(12,2) not null,
  opened date not null, closed timestamp, active boolean, tags text[] not null, meta jsonb,
  parent_id bigint references accounts (id), score real, level smallint not null
);
create table moves (
  id bigint generated always as identity primary key, account_id bigint not null references accounts (id),
  at timestamptz not null, amount numeric not null, note varchar(40),
  channel text check (channel in ('web', 'app', 'branch')), batch int
);
create table limits (
  account_id bigint primary key references accounts (id), daily numeric, monthly numeric not null
);
create table places (region int not null, spot int not null, name text, primary key (region, spot));
create table visits (id bigint primary key, region int, spot int, code int, kind int not null,
  foreign key (region, spot) references places (region, spot));
create unique index visits_code on visits (code);
create unique index visits_kind_part on visits (kind) where code is not null;
alter table visits add constraint loose foreign key (id) references accounts (id) not valid;
create unique index accounts_lower_email on accounts (lower(email));
