ALTER TABLE public.region ADD CONSTRAINT region_pkey PRIMARY KEY (r_regionkey);
ALTER TABLE public.nation ADD CONSTRAINT nation_pkey PRIMARY KEY (n_nationkey);
ALTER TABLE public.part ADD CONSTRAINT part_pkey PRIMARY KEY (p_partkey);
ALTER TABLE public.supplier ADD CONSTRAINT supplier_pkey PRIMARY KEY (s_suppkey);
ALTER TABLE public.partsupp ADD CONSTRAINT partsupp_pkey PRIMARY KEY (ps_partkey, ps_suppkey);
ALTER TABLE public.customer ADD CONSTRAINT customer_pkey PRIMARY KEY (c_custkey);
ALTER TABLE public.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (o_orderkey);
ALTER TABLE public.lineitem ADD CONSTRAINT lineitem_pkey PRIMARY KEY (l_orderkey, l_linenumber);
