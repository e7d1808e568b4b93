-- What makes partitions ahead while pgwright does not run. The statements are pgwright's own, written down for years to
-- come, so names and bounds are the same by construction; this only knows when it is time for which.
create schema if not exists pgwright_cron;
comment on schema pgwright_cron is 'Partitions made ahead by the server itself; made by "pgwright partition schedule", taken away by "pgwright undo".';
revoke all on schema pgwright_cron from public;
create table if not exists pgwright_cron.partition_set (
    table_name text primary key,
    -- An expression of $1, the time: where the set's keys are now.
    current_key text not null
);
create table if not exists pgwright_cron.ahead (
    table_name text not null references pgwright_cron.partition_set on delete cascade,
    partition_schema text not null,
    partition_name text not null,
    -- The key from which on the partition should be there: microseconds since 1970, or a number.
    due bigint not null,
    statements text[] not null,
    -- What is true of the rows of the partition.
    bound_check text,
    made_at timestamptz,
    -- Why it could not be made when it was last tried.
    failure text,
    primary key (table_name, partition_schema, partition_name)
);
-- Installed before this column was there.
alter table pgwright_cron.ahead add column if not exists bound_check text;
create or replace procedure pgwright_cron.run(
    p_at timestamptz default pg_catalog.now(), p_lock_timeout_ms integer default 2000, p_tries integer default 10
) language plpgsql as $run$
declare
    v_set record;
    v_part record;
    v_default text;
    v_function text;
    v_size text;
    v_shows_keys boolean;
    v_key bigint;
    v_sql text;
    v_failure text;
    v_again boolean;
    v_attempt integer;
    v_phase integer;
    v_found boolean;
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog', true);
    for v_set in select s.table_name, s.current_key from pgwright_cron.partition_set s order by s.table_name loop
        begin
            execute 'select /* pgwright:schedule_key */ ' || v_set.current_key into v_key using p_at;
        exception when others then
            raise warning 'pgwright: %: %', v_set.table_name, sqlerrm;
            v_key := null;
        end;
        continue when v_key is null;
        for v_part in
            select a.partition_schema, a.partition_name, a.statements, a.bound_check from pgwright_cron.ahead a
            where a.table_name = v_set.table_name and a.made_at is null and a.due <= v_key
            order by a.due, a.partition_name
        loop
            v_attempt := 1;
            v_phase := null;
            v_shows_keys := null;
            loop
                v_failure := null;
                v_again := false;
                perform pg_catalog.set_config('search_path', 'pg_catalog', true);
                begin
                    perform pg_catalog.set_config('lock_timeout', p_lock_timeout_ms || 'ms', true);
                    if v_phase is null then
                        -- A large DEFAULT is not read while it is locked, when an index on the key shows what is in it: a CHECK that
                        -- refuses nothing is validated first (phases 0 and 1), and becomes strict in the transaction that attaches.
                        select pg_catalog.format('%I.%I', n.nspname, d.relname),
                            pg_catalog.format('pgwright_cron.in_default_%s()', d.oid),
                            pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size(d.oid)),
                            d.relkind = 'r' and v_part.bound_check is not null
                            and not exists (select from pg_catalog.pg_rewrite r where r.ev_class = d.oid)
                            and exists (
                                select from pg_catalog.pg_index i
                                join pg_catalog.pg_class ic on ic.oid = i.indexrelid
                                join pg_catalog.pg_am am on am.oid = ic.relam and am.amname = 'btree'
                                join pg_catalog.pg_attribute k on k.attrelid = i.indrelid and k.attnum = i.indkey[0]
                                join pg_catalog.pg_attribute pk on pk.attrelid = p.partrelid and pk.attnum = p.partattrs[0]
                                where i.indrelid = d.oid and i.indisvalid and i.indisready and i.indpred is null
                                    and k.attname = pk.attname
                            )
                        into v_default, v_function, v_size, v_shows_keys
                        from pg_catalog.pg_partitioned_table p
                        join pg_catalog.pg_class d on d.oid = p.partdefid
                        join pg_catalog.pg_namespace n on n.oid = d.relnamespace
                        where p.partrelid = pg_catalog.to_regclass(v_set.table_name)
                            and pg_catalog.pg_relation_size(d.oid) >= 16777216;
                        v_phase := case when v_shows_keys then 0 else 2 end;
                    end if;
                    v_found := exists (
                        select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                        where n.nspname = v_part.partition_schema and c.relname = v_part.partition_name and c.relispartition
                    );
                    if v_found then
                        v_phase := 2;
                    elsif not v_shows_keys then
                        raise exception 'DEFAULT % holds % and would be read while it is locked; an index on its key spares that',
                            v_default, v_size;
                    elsif v_phase = 0 then
                        execute pg_catalog.format('alter table %s drop constraint if exists pgwright_cron_elsewhere', v_default);
                        execute pg_catalog.format(
                            'create or replace function %s returns boolean language sql immutable parallel safe as %L',
                            v_function, 'select true');
                        execute pg_catalog.format('grant execute on function %s to public', v_function);
                        execute pg_catalog.format(
                            'alter table %s add constraint pgwright_cron_elsewhere check (not (%s) or %s) not valid',
                            v_default, v_part.bound_check, v_function);
                    elsif v_phase = 1 then
                        execute pg_catalog.format('alter table %s validate constraint pgwright_cron_elsewhere', v_default);
                    elsif v_shows_keys then
                        for v_at in 1 .. pg_catalog.cardinality(v_part.statements) - 1 loop
                            execute v_part.statements[v_at];
                        end loop;
                        perform pg_catalog.set_config('enable_seqscan', 'off', true),
                            pg_catalog.set_config('row_security', 'off', true);
                        execute pg_catalog.format('lock table only %s in share update exclusive mode', v_set.table_name);
                        execute pg_catalog.format('lock table only %s in access exclusive mode', v_default);
                        execute pg_catalog.format('select exists (select from only %s where %s)', v_default, v_part.bound_check)
                            into v_found;
                        if v_found then
                            raise exception 'DEFAULT % holds rows of it; "pgwright partition run" moves them', v_default;
                        end if;
                        execute pg_catalog.format(
                            'create or replace function %s returns boolean language sql immutable parallel safe as %L',
                            v_function, 'select false');
                        execute v_part.statements[pg_catalog.cardinality(v_part.statements)];
                        execute pg_catalog.format('alter table %s drop constraint if exists pgwright_cron_elsewhere', v_default);
                        execute pg_catalog.format('drop function if exists %s', v_function);
                    else
                        foreach v_sql in array v_part.statements loop
                            execute v_sql;
                        end loop;
                    end if;
                    v_phase := v_phase + 1;
                exception
                    when lock_not_available or deadlock_detected then
                        v_failure := sqlerrm;
                        v_again := true;
                    when others then
                        v_failure := sqlerrm;
                end;
                exit when v_phase > 2 or v_failure is not null and (not v_again or v_attempt >= p_tries);
                -- Nothing is held while it waits, and each phase is a transaction of its own.
                commit;
                if v_again then
                    perform pg_catalog.pg_sleep(least(10, 0.1 * 2 ^ (v_attempt - 1)) * (0.5 + pg_catalog.random() / 2));
                    v_attempt := v_attempt + 1;
                end if;
            end loop;
            if v_failure is not null and v_shows_keys then
                -- What cannot be taken away now refuses nothing, and the next call takes it away.
                begin
                    perform pg_catalog.set_config('lock_timeout', p_lock_timeout_ms || 'ms', true);
                    execute pg_catalog.format('alter table %s drop constraint if exists pgwright_cron_elsewhere', v_default);
                    execute pg_catalog.format('drop function if exists %s', v_function);
                exception when others then
                    raise warning 'pgwright: %: %', v_default, sqlerrm;
                end;
            end if;
            update pgwright_cron.ahead a
            set made_at = case when v_failure is null then pg_catalog.clock_timestamp() end, failure = v_failure
            where a.table_name = v_set.table_name and a.partition_schema = v_part.partition_schema
                and a.partition_name = v_part.partition_name;
            commit;
            if v_failure is not null then
                raise warning 'pgwright: partition %.% was not made: %',
                    v_part.partition_schema, v_part.partition_name, v_failure;
            end if;
        end loop;
        if not exists (
            select from pgwright_cron.ahead a where a.table_name = v_set.table_name and a.due > v_key
        ) then
            raise warning 'pgwright: the partitions of % that were written down come to their end; run "pgwright partition schedule" again',
                v_set.table_name;
        end if;
    end loop;
end
$run$;
comment on procedure pgwright_cron.run(timestamptz, integer, integer) is 'Makes the partitions for which it is time, one short transaction each.';
