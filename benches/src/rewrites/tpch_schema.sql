-- What an application's schema would have beside TPC-H's primary keys: foreign keys, an index for each, and
-- one for each date that is asked for.
ALTER TABLE public.nation ADD CONSTRAINT nation_region_fkey FOREIGN KEY (n_regionkey) REFERENCES public.region;
ALTER TABLE public.supplier ADD CONSTRAINT supplier_nation_fkey FOREIGN KEY (s_nationkey) REFERENCES public.nation;
ALTER TABLE public.customer ADD CONSTRAINT customer_nation_fkey FOREIGN KEY (c_nationkey) REFERENCES public.nation;
ALTER TABLE public.partsupp ADD CONSTRAINT partsupp_part_fkey FOREIGN KEY (ps_partkey) REFERENCES public.part;
ALTER TABLE public.partsupp ADD CONSTRAINT partsupp_supplier_fkey FOREIGN KEY (ps_suppkey) REFERENCES public.supplier;
ALTER TABLE public.orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (o_custkey) REFERENCES public.customer;
ALTER TABLE public.lineitem ADD CONSTRAINT lineitem_orders_fkey FOREIGN KEY (l_orderkey) REFERENCES public.orders;
ALTER TABLE public.lineitem ADD CONSTRAINT lineitem_partsupp_fkey
    FOREIGN KEY (l_partkey, l_suppkey) REFERENCES public.partsupp;
CREATE INDEX nation_region_idx ON public.nation (n_regionkey);
CREATE INDEX supplier_nation_idx ON public.supplier (s_nationkey);
CREATE INDEX customer_nation_idx ON public.customer (c_nationkey);
CREATE INDEX partsupp_supplier_idx ON public.partsupp (ps_suppkey);
CREATE INDEX orders_customer_idx ON public.orders (o_custkey);
CREATE INDEX orders_date_idx ON public.orders (o_orderdate);
CREATE INDEX lineitem_partsupp_idx ON public.lineitem (l_partkey, l_suppkey);
CREATE INDEX lineitem_supplier_idx ON public.lineitem (l_suppkey);
CREATE INDEX lineitem_shipped_idx ON public.lineitem (l_shipdate);
CREATE FUNCTION public.this_clerk() RETURNS text LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN 'Clerk#000000951'; END $$;
