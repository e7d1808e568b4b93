-- Primary keys after the rows, so that each index is built by one sort. Foreign keys as any registry
-- has them: PostgreSQL indexes the referenced side only, which is half of what makes this one slow.
ALTER /* pgwright:demo_load */ TABLE public.environments ADD CONSTRAINT environments_pkey PRIMARY KEY (environment_id);
ALTER /* pgwright:demo_load */ TABLE public.models ADD CONSTRAINT models_pkey PRIMARY KEY (model_id);
ALTER /* pgwright:demo_load */ TABLE public.model_versions ADD CONSTRAINT model_versions_pkey PRIMARY KEY (version_id);
ALTER /* pgwright:demo_load */ TABLE public.training_runs ADD CONSTRAINT training_runs_pkey PRIMARY KEY (run_id);
ALTER /* pgwright:demo_load */ TABLE public.deployments ADD CONSTRAINT deployments_pkey PRIMARY KEY (deployment_id);
ALTER /* pgwright:demo_load */ TABLE public.approvals ADD CONSTRAINT approvals_pkey PRIMARY KEY (approval_id);

ALTER /* pgwright:demo_load */ TABLE public.model_versions ADD CONSTRAINT model_versions_model_id_fkey
    FOREIGN KEY (model_id) REFERENCES public.models (model_id);
ALTER /* pgwright:demo_load */ TABLE public.training_runs ADD CONSTRAINT training_runs_version_id_fkey
    FOREIGN KEY (version_id) REFERENCES public.model_versions (version_id);
ALTER /* pgwright:demo_load */ TABLE public.deployments ADD CONSTRAINT deployments_version_id_fkey
    FOREIGN KEY (version_id) REFERENCES public.model_versions (version_id);
ALTER /* pgwright:demo_load */ TABLE public.deployments ADD CONSTRAINT deployments_environment_id_fkey
    FOREIGN KEY (environment_id) REFERENCES public.environments (environment_id);
ALTER /* pgwright:demo_load */ TABLE public.approvals ADD CONSTRAINT approvals_version_id_fkey
    FOREIGN KEY (version_id) REFERENCES public.model_versions (version_id);
