-- A setting that an application asks through a function.
CREATE FUNCTION public.this_experiment() RETURNS text LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN 'fraud-exp-001'; END $$;
