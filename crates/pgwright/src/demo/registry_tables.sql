CREATE /* pgwright:demo_load */ TABLE public.environments (
    environment_id integer NOT NULL,
    name text NOT NULL,
    region text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE /* pgwright:demo_load */ TABLE public.models (
    model_id uuid NOT NULL,
    model_name text NOT NULL,
    description text NOT NULL,
    owner text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE /* pgwright:demo_load */ TABLE public.model_versions (
    version_id uuid NOT NULL,
    model_id uuid NOT NULL,
    semver text NOT NULL,
    framework text NOT NULL,
    artifact_uri text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    metadata_ jsonb NOT NULL DEFAULT '{}'
);

CREATE /* pgwright:demo_load */ TABLE public.training_runs (
    run_id uuid NOT NULL,
    version_id uuid,
    model_name text NOT NULL,
    experiment_name text NOT NULL,
    status text NOT NULL DEFAULT 'queued',
    accuracy double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    hyperparameters jsonb NOT NULL DEFAULT '{}',
    metrics jsonb NOT NULL DEFAULT '{}'
);

CREATE /* pgwright:demo_load */ TABLE public.deployments (
    deployment_id uuid NOT NULL,
    version_id uuid NOT NULL,
    environment_id integer NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    deployed_at timestamptz NOT NULL DEFAULT now(),
    deployed_by text NOT NULL,
    replicas integer NOT NULL DEFAULT 1
);

CREATE /* pgwright:demo_load */ TABLE public.approvals (
    approval_id uuid NOT NULL,
    version_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    requested_at timestamptz NOT NULL DEFAULT now(),
    approved_at timestamptz,
    approved_by text
);
