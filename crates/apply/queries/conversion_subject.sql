-- Everything that hangs on one table, as one document: what a swap by name would leave behind.
-- Columns that only newer versions have are read through to_jsonb(), which takes a row as it is.
select /* pgwright:conversion_subject */ jsonb_build_object(
    'oid', c.oid::bigint,
    'table', jsonb_build_object('schema', n.nspname, 'name', c.relname),
    'kind', c.relkind,
    'persistence', c.relpersistence,
    'file', coalesce(pg_relation_filenode(c.oid), 0)::bigint,
    'bytes', pg_total_relation_size(c.oid),
    'heap_bytes', pg_relation_size(c.oid),
    -- As the planner reckons: rows per page as they were, times the pages of now; of a table that was never analyzed,
    -- what its statistics counted.
    'rows_estimate', (case when c.reltuples >= 0 and c.relpages > 0
        then c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int)
        else pg_stat_get_live_tuples(c.oid) end)::bigint,
    'owner', pg_get_userbyid(c.relowner),
    'is_owner', pg_has_role(c.relowner, 'USAGE'),
    'may_create', has_schema_privilege(c.relnamespace, 'CREATE'),
    'may_create_temp', has_database_privilege(current_database(), 'TEMP'),
    'tablespace', (select s.spcname from pg_tablespace s where s.oid = c.reltablespace),
    'options', coalesce(to_jsonb(c.reloptions), '[]'),
    'toast_options', coalesce((select to_jsonb(t.reloptions) from pg_class t where t.oid = c.reltoastrelid), '[]'),
    'access_method', (select a.amname from pg_am a where a.oid = c.relam),
    'row_security', c.relrowsecurity,
    'force_row_security', c.relforcerowsecurity,
    'bypasses_row_security', (select r.rolsuper or r.rolbypassrls from pg_roles r where r.rolname = current_user)
        or pg_has_role(c.relowner, 'USAGE') and not c.relforcerowsecurity,
    'replica_identity', c.relreplident,
    'typed', c.reloftype <> 0,
    'comment', obj_description(c.oid, 'pg_class'),
    'columns', (
        select jsonb_agg(jsonb_build_object(
            'number', a.attnum,
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'type_oid', a.atttypid::bigint,
            'not_null', a.attnotnull,
            'identity', a.attidentity,
            'generated', a.attgenerated,
            'statistics_target', case when (to_jsonb(a) ->> 'attstattarget')::int >= 0 then (to_jsonb(a) ->> 'attstattarget')::int end,
            'options', coalesce(to_jsonb(a.attoptions), '[]'),
            'plain_type', format_type(base.oid, base.typmod) || coalesce((
                select ' COLLATE ' || quote_ident(ln.nspname) || '.' || quote_ident(l.collname)
                from pg_collation l join pg_namespace ln on ln.oid = l.collnamespace where l.oid = a.attcollation), ''),
            'equality_is_builtin', exists (
                select from pg_type t
                    join pg_opclass k on k.opcintype = t.oid
                        or k.opcintype = case t.typtype when 'e' then 'anyenum'::regtype when 'r' then 'anyrange'::regtype
                            when 'm' then to_regtype('anymultirange') when 'c' then 'record'::regtype end
                        or k.opcintype = 'anyarray'::regtype and t.typcategory = 'A'
                        or k.opcintype = 'text'::regtype and t.oid = 'varchar'::regtype
                    join pg_amop o on o.amopfamily = k.opcfamily and o.amopstrategy = 3
                    join pg_operator e on e.oid = o.amopopr join pg_namespace en on en.oid = e.oprnamespace
                where t.oid = base.oid and k.opcmethod = 403 and k.opcdefault and en.nspname = 'pg_catalog')
        ) order by a.attnum)
        from pg_attribute a cross join lateral (
            -- The type behind a domain, however many domains deep.
            with recursive behind (oid, typmod) as (
                select a.atttypid, a.atttypmod
                union all
                select t.typbasetype, t.typtypmod from behind b join pg_type t on t.oid = b.oid and t.typtype = 'd'
            )
            select b.oid, b.typmod from behind b join pg_type t on t.oid = b.oid and t.typtype <> 'd'
        ) base
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
    'indexes', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', ic.relname,
            'definition', pg_get_indexdef(i.indexrelid),
            'unique', i.indisunique,
            'primary', i.indisprimary,
            'exclusion', i.indisexclusion,
            'valid', i.indisvalid and i.indisready,
            'partial', i.indpred is not null,
            'nulls_not_distinct', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
            'replica_identity', i.indisreplident,
            'clustered', i.indisclustered,
            'options', coalesce(to_jsonb(ic.reloptions), '[]'),
            'statistics_targets', coalesce((select jsonb_agg(jsonb_build_array(ia.attnum, (to_jsonb(ia) ->> 'attstattarget')::int)
                    order by ia.attnum)
                from pg_attribute ia where ia.attrelid = i.indexrelid and (to_jsonb(ia) ->> 'attstattarget')::int >= 0), '[]'),
            'keys', (select jsonb_agg(ka.attname order by k.n)
                from unnest(i.indkey::int2[]) with ordinality k (attnum, n)
                left join pg_attribute ka on ka.attrelid = c.oid and ka.attnum = k.attnum and k.attnum > 0
                where k.n <= i.indnkeyatts),
            'included', coalesce((select jsonb_agg(ka.attname order by k.n)
                from unnest(i.indkey::int2[]) with ordinality k (attnum, n)
                join pg_attribute ka on ka.attrelid = c.oid and ka.attnum = k.attnum
                where k.n > i.indnkeyatts), '[]'),
            'plain_keys', not 0 = any (i.indkey::int2[]),
            'constraint', (select o.conname from pg_constraint o
                where o.conindid = i.indexrelid and o.conrelid = c.oid and o.contype in ('p', 'u', 'x')),
            'deferrable', coalesce((select o.condeferrable from pg_constraint o
                where o.conindid = i.indexrelid and o.conrelid = c.oid and o.contype in ('p', 'u', 'x')), false),
            'deferred', coalesce((select o.condeferred from pg_constraint o
                where o.conindid = i.indexrelid and o.conrelid = c.oid and o.contype in ('p', 'u', 'x')), false),
            'without_overlaps', coalesce((select (to_jsonb(o) ->> 'conperiod')::boolean from pg_constraint o
                where o.conindid = i.indexrelid and o.conrelid = c.oid and o.contype in ('p', 'u', 'x')), false),
            'tablespace', (select s.spcname from pg_tablespace s where s.oid = ic.reltablespace),
            'comment', coalesce(obj_description(i.indexrelid, 'pg_class'),
                (select obj_description(o.oid, 'pg_constraint') from pg_constraint o
                    where o.conindid = i.indexrelid and o.conrelid = c.oid and o.contype in ('p', 'u', 'x')))
        ) order by i.indisprimary desc, ic.relname)
        from pg_index i join pg_class ic on ic.oid = i.indexrelid where i.indrelid = c.oid), '[]'),
    'checks', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', o.conname,
            'definition', pg_get_constraintdef(o.oid),
            'validated', o.convalidated,
            'enforced', coalesce((to_jsonb(o) ->> 'conenforced')::boolean, true),
            'no_inherit', o.connoinherit) order by o.conname)
        from pg_constraint o where o.conrelid = c.oid and o.contype = 'c'), '[]'),
    'unproven_not_nulls', coalesce((
        select jsonb_agg(o.conname order by o.conname)
        from pg_constraint o where o.conrelid = c.oid and o.contype = 'n' and not o.convalidated), '[]'),
    'foreign_keys', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', o.conname,
            'definition', pg_get_constraintdef(o.oid),
            'table', jsonb_build_object('schema', rn.nspname, 'name', r.relname),
            'validated', o.convalidated,
            'enforced', coalesce((to_jsonb(o) ->> 'conenforced')::boolean, true),
            'comment', obj_description(o.oid, 'pg_constraint'),
            'to_itself', o.confrelid = c.oid,
            'to_partitioned', r.relkind = 'p',
            'may_reference', pg_has_role(r.relowner, 'USAGE') or has_table_privilege(o.confrelid, 'REFERENCES')) order by o.conname)
        from pg_constraint o join pg_class r on r.oid = o.confrelid join pg_namespace rn on rn.oid = r.relnamespace
        where o.conrelid = c.oid and o.contype = 'f' and o.conparentid = 0), '[]'),
    'referencing', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', o.conname,
            'definition', pg_get_constraintdef(o.oid),
            'table', jsonb_build_object('schema', rn.nspname, 'name', r.relname),
            'validated', o.convalidated,
            'comment', obj_description(o.oid, 'pg_constraint'),
            'partitioned', r.relkind = 'p',
            'is_owner', pg_has_role(r.relowner, 'USAGE'),
            'columns', (select jsonb_agg(a.attname order by k.n)
                from unnest(o.confkey) with ordinality k (attnum, n)
                join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum)) order by o.conname)
        from pg_constraint o join pg_class r on r.oid = o.conrelid join pg_namespace rn on rn.oid = r.relnamespace
        where o.confrelid = c.oid and o.conrelid <> c.oid and o.contype = 'f' and o.conparentid = 0), '[]'),
    'triggers', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', t.tgname,
            'definition', pg_get_triggerdef(t.oid),
            'enabled', t.tgenabled,
            'for_each_row', (t.tgtype & 1) <> 0,
            'before', (t.tgtype & 2) <> 0,
            'source', f.prosrc,
            'transition_tables', t.tgoldtable is not null or t.tgnewtable is not null,
            'comment', obj_description(t.oid, 'pg_trigger')) order by t.tgname)
        from pg_trigger t join pg_proc f on f.oid = t.tgfoid join pg_namespace fn on fn.oid = f.pronamespace
        where t.tgrelid = c.oid and not t.tgisinternal and fn.nspname <> 'pgwright'), '[]'),
    'policies', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', p.polname,
            'command', p.polcmd,
            'permissive', p.polpermissive,
            'roles', (select jsonb_agg(case when r = 0 then 'public' else quote_ident(pg_get_userbyid(r)) end)
                from unnest(p.polroles) r),
            'using', pg_get_expr(p.polqual, p.polrelid),
            'check', pg_get_expr(p.polwithcheck, p.polrelid),
            'comment', obj_description(p.oid, 'pg_policy')) order by p.polname)
        from pg_policy p where p.polrelid = c.oid), '[]'),
    'views', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', jsonb_build_object('schema', vn.nspname, 'name', v.relname),
            'kind', v.relkind,
            'is_owner', pg_has_role(v.relowner, 'USAGE'),
            'owner', pg_get_userbyid(v.relowner),
            'options', coalesce(to_jsonb(v.reloptions), '[]'),
            -- By whose columns it groups, so that it may show others of the same row.
            'keys', coalesce((select jsonb_agg(distinct o.conname)
                from pg_rewrite w
                join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_constraint'::regclass
                join pg_constraint o on o.oid = d.refobjid
                where w.ev_class = v.oid and o.conrelid = c.oid), '[]'),
            'definition', pg_get_viewdef(v.oid)) order by vn.nspname, v.relname)
        from pg_class v join pg_namespace vn on vn.oid = v.relnamespace
        where v.relkind in ('v', 'm') and exists (
            select from pg_rewrite w join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
            where w.ev_class = v.oid and w.rulename = '_RETURN'
                and (d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
                    or d.refclassid = 'pg_type'::regclass and d.refobjid in (c.reltype, (select t.typarray from pg_type t where t.oid = c.reltype))))), '[]'),
    'statistics', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', jsonb_build_object('schema', sn.nspname, 'name', s.stxname),
            'definition', pg_get_statisticsobjdef(s.oid),
            'target', case when (to_jsonb(s) ->> 'stxstattarget')::int >= 0 then (to_jsonb(s) ->> 'stxstattarget')::int end,
            'comment', obj_description(s.oid, 'pg_statistic_ext')) order by sn.nspname, s.stxname)
        from pg_statistic_ext s join pg_namespace sn on sn.oid = s.stxnamespace where s.stxrelid = c.oid), '[]'),
    'sequences', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', jsonb_build_object('schema', sn.nspname, 'name', s.relname),
            'column', a.attname,
            'identity', d.deptype = 'i',
            'persistence', s.relpersistence,
            'type', (select format_type(q.seqtypid, null) from pg_sequence q where q.seqrelid = s.oid),
            'comment', obj_description(s.oid, 'pg_class'),
            'grants', coalesce((select jsonb_agg(jsonb_build_object('privilege', g.privilege_type,
                    'role', case when g.grantee = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(g.grantee)) end,
                    'grantable', g.is_grantable, 'column', null))
                from aclexplode(s.relacl) g where g.grantee <> s.relowner), '[]'))
            order by s.relname)
        from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
            join pg_namespace sn on sn.oid = s.relnamespace
            join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
            and d.deptype in ('a', 'i')), '[]'),
    'publications', coalesce((
        select jsonb_agg(jsonb_build_object(
            'name', p.pubname,
            'is_owner', pg_has_role(p.pubowner, 'USAGE'),
            'through_root', p.pubviaroot,
            'whole', r.oid is null,
            'filter', (select to_jsonb(t) ->> 'rowfilter' from pg_publication_tables t
                where t.pubname = p.pubname and t.schemaname = n.nspname and t.tablename = c.relname),
            'columns', (select jsonb_agg(pa.attname order by pa.attnum) from pg_attribute pa
                where pa.attrelid = c.oid and to_jsonb(r) -> 'prattrs' @> to_jsonb(pa.attnum))) order by p.pubname)
        from pg_publication p left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid
        where r.oid is not null or p.puballtables
            or exists (select from pg_publication_tables t where t.pubname = p.pubname and t.schemaname = n.nspname and t.tablename = c.relname)), '[]'),
    'subscribed', exists (select from pg_subscription_rel s where s.srrelid = c.oid),
    'grants', coalesce((
        select jsonb_agg(jsonb_build_object('privilege', g.privilege_type,
            'role', case when g.grantee = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(g.grantee)) end,
            'grantable', g.is_grantable, 'column', g.column_name))
        from (
            select e.*, null::name as column_name from aclexplode(c.relacl) e
            union all
            select e.*, a.attname from pg_attribute a cross join lateral aclexplode(a.attacl) e
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ) g where g.grantee <> c.relowner), '[]'),
    'owner_grants', coalesce((
        select jsonb_agg(jsonb_build_object('privilege', e.privilege_type, 'role', quote_ident(pg_get_userbyid(c.relowner)),
            'grantable', false, 'column', null)) from aclexplode(c.relacl) e where e.grantee = c.relowner), '[]'),
    'owner_grants_changed', c.relacl is not null and not exists (
        select from aclexplode(c.relacl) e where e.grantee = c.relowner
        having count(*) = (select count(*) from aclexplode(acldefault('r', c.relowner)) d where d.grantee = c.relowner)),
    'disabled_keys', coalesce((
        select jsonb_agg(distinct o.conname)
        from pg_trigger t join pg_constraint o on o.oid = t.tgconstraint
        where t.tgrelid = c.oid and t.tgisinternal and t.tgenabled <> 'O' and o.contype = 'f'), '[]'),
    'closed_tablespaces', coalesce((
        select jsonb_agg(distinct s.spcname) from pg_tablespace s
        where (s.oid = c.reltablespace or s.oid in (
                select ic.reltablespace from pg_index i join pg_class ic on ic.oid = i.indexrelid where i.indrelid = c.oid))
            and not has_tablespace_privilege(s.oid, 'CREATE')), '[]'),
    'event_triggers', coalesce((
        select jsonb_agg(e.evtname order by e.evtname) from pg_event_trigger e where e.evtenabled in ('O', 'A')
            and e.evtevent <> 'login'), '[]'),
    'parents', (select coalesce(jsonb_agg(h.inhparent::regclass::text), '[]') from pg_inherits h where h.inhrelid = c.oid),
    'children', (select coalesce(jsonb_agg(h.inhrelid::regclass::text), '[]') from pg_inherits h where h.inhparent = c.oid),
    'security_labels', (select count(*) from pg_seclabel l where l.classoid = 'pg_class'::regclass and l.objoid = c.oid),
    'rules', coalesce((select jsonb_agg(w.rulename order by w.rulename) from pg_rewrite w where w.ev_class = c.oid), '[]'),
    -- Whatever else hangs on the table or its row type, in PostgreSQL's words, so that a kind that pgwright
    -- does not know is refused rather than forgotten.
    'others', coalesce((
        select jsonb_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid))
        from pg_depend d
        where (d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
                or d.refclassid = 'pg_type'::regclass and d.refobjid in (c.reltype, (select t.typarray from pg_type t where t.oid = c.reltype)))
            and d.deptype <> 'i'
            and not (d.classid = 'pg_class'::regclass and exists (
                select from pg_class k where k.oid = d.objid and (k.relkind in ('i', 'I', 't') or k.relkind = 'S' and d.deptype in ('a', 'i')
                    or exists (select from pg_inherits h where h.inhparent = c.oid and h.inhrelid = k.oid))))
            and not (d.classid = 'pg_constraint'::regclass and exists (
                select from pg_constraint k where k.oid = d.objid and (k.conrelid = c.oid or k.confrelid = c.oid)))
            and not (d.classid = 'pg_attrdef'::regclass and exists (select from pg_attrdef k where k.oid = d.objid and k.adrelid = c.oid))
            and not (d.classid = 'pg_trigger'::regclass and exists (select from pg_trigger k where k.oid = d.objid and k.tgrelid = c.oid))
            and not (d.classid = 'pg_policy'::regclass and exists (select from pg_policy k where k.oid = d.objid and k.polrelid = c.oid))
            and not (d.classid = 'pg_statistic_ext'::regclass and exists (select from pg_statistic_ext k where k.oid = d.objid and k.stxrelid = c.oid))
            and not (d.classid = 'pg_publication_rel'::regclass)
            and not (d.classid = 'pg_rewrite'::regclass and exists (
                select from pg_rewrite k where k.oid = d.objid and (k.ev_class = c.oid or k.rulename = '_RETURN')))), '[]')
        || coalesce((
        select jsonb_agg(distinct pg_describe_object(d.refclassid, d.refobjid, 0))
        from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'), '[]')
        -- Another sequence takes the place of an identity's.
        || coalesce((
        select jsonb_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid))
        from pg_depend i join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = i.objid
        where i.classid = 'pg_class'::regclass and i.refclassid = 'pg_class'::regclass and i.refobjid = c.oid and i.refobjsubid > 0
            and i.deptype = 'i' and exists (select from pg_class s where s.oid = i.objid and s.relkind = 'S')), '[]')
        -- Triggers and indexes that go with an extension.
        || coalesce((
        select jsonb_agg(distinct pg_describe_object(d.classid, d.objid, 0))
        from pg_depend d where d.deptype = 'x'
            and (d.classid = 'pg_trigger'::regclass and exists (select from pg_trigger k where k.oid = d.objid and k.tgrelid = c.oid)
                or d.classid = 'pg_class'::regclass and exists (select from pg_index k where k.indexrelid = d.objid and k.indrelid = c.oid))), '[]')
    ) as subject
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = $1
