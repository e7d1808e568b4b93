ALTER /* pgwright:demo_load */ TABLE public.m_customerinfo ADD CONSTRAINT m_customerinfo_pkey PRIMARY KEY (customer_id);
ALTER /* pgwright:demo_load */ TABLE public.m_meterinfo ADD CONSTRAINT m_meterinfo_pkey PRIMARY KEY (meter_id);
ALTER /* pgwright:demo_load */ TABLE public.t_dlpdata ADD CONSTRAINT t_dlpdata_pkey PRIMARY KEY (reading_id);

ALTER /* pgwright:demo_load */ TABLE public.m_meterinfo ADD CONSTRAINT m_meterinfo_customer_id_fkey
    FOREIGN KEY (customer_id) REFERENCES public.m_customerinfo (customer_id);
ALTER /* pgwright:demo_load */ TABLE public.t_dlpdata ADD CONSTRAINT t_dlpdata_meter_id_fkey
    FOREIGN KEY (meter_id) REFERENCES public.m_meterinfo (meter_id);

-- The rows bring their own numbers: the sequence goes on after the last of them.
SELECT /* pgwright:demo_load */ pg_catalog.setval(pg_catalog.pg_get_serial_sequence('public.t_dlpdata', 'reading_id'),
                         (SELECT pg_catalog.max(reading_id) FROM public.t_dlpdata));
