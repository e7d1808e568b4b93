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
    made_at timestamptz,
    -- Why it could not be made when it was last tried.
    failure text,
    primary key (table_name, partition_schema, partition_name)
);
create or replace procedure pgwright_cron.run(
    p_at timestamptz default pg_catalog.now(), p_lock_timeout_ms integer default 2000, p_tries integer default 10
) language plpgsql as $run$
declare
    v_set record;
    v_part record;
    v_key bigint;
    v_sql text;
    v_failure text;
    v_again boolean;
    v_attempt integer;
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
            select a.partition_schema, a.partition_name, a.statements from pgwright_cron.ahead a
            where a.table_name = v_set.table_name and a.made_at is null and a.due <= v_key
            order by a.due, a.partition_name
        loop
            v_attempt := 1;
            loop
                v_failure := null;
                v_again := false;
                perform pg_catalog.set_config('search_path', 'pg_catalog', true);
                begin
                    perform pg_catalog.set_config('lock_timeout', p_lock_timeout_ms || 'ms', true);
                    if not exists (
                        select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                        where n.nspname = v_part.partition_schema and c.relname = v_part.partition_name and c.relispartition
                    ) then
                        foreach v_sql in array v_part.statements loop
                            execute v_sql;
                        end loop;
                    end if;
                exception
                    when lock_not_available or deadlock_detected then
                        v_failure := sqlerrm;
                        v_again := true;
                    when others then
                        v_failure := sqlerrm;
                end;
                exit when not v_again or v_attempt >= p_tries;
                -- Nothing is held while it waits.
                commit;
                perform pg_catalog.pg_sleep(least(10, 0.1 * 2 ^ (v_attempt - 1)) * (0.5 + pg_catalog.random() / 2));
                v_attempt := v_attempt + 1;
            end loop;
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
