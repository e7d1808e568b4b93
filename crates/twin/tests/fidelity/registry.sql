-- A model registry with the skew of the demo's: a tenth of the models is active, few experiments are hot, nine runs
-- in ten never become a version, and times grow denser towards the present.
SELECT setseed(0.3);
INSERT INTO environments VALUES (1, 'production', 'eu-west-1', now()), (2, 'staging', 'eu-west-1', now()),
    (3, 'development', 'local', now());
INSERT INTO models SELECT md5('m' || i)::uuid, 'model-' || lpad(i::text, 4, '0'), 'model ' || i || ', owned by a team',
    'team-' || i % 9, random() < 0.12, now() - 730 * random() * interval '1 day' FROM generate_series(1, 500) AS i;
INSERT INTO model_versions SELECT md5('v' || i)::uuid, md5('m' || 1 + floor(500 * random() ^ 2))::uuid,
    (1 + i / 100) || '.' || i / 10 % 10 || '.' || i % 10, (ARRAY['pytorch', 'xgboost', 'sklearn'])[1 + floor(3 * random() ^ 2)::int],
    's3://model-artifacts/' || i, now() - 700 * (1 - i / 5000.0) * interval '1 day',
    jsonb_build_object('framework', 'f' || i % 5, 'dataset', 'd' || floor(300 * random()), 'commit', md5(i::text))
FROM generate_series(1, 5000) AS i;
INSERT INTO training_runs SELECT gen_random_uuid(),
    CASE WHEN random() < 0.1 THEN md5('v' || 1 + floor(5000 * random()))::uuid END,
    'model-' || lpad(e.model::text, 4, '0'), 'exp-' || e.n, e.status,
    CASE WHEN e.status = 'succeeded' THEN round((0.5 + 0.5 * random() ^ 2)::numeric, 4)::float8 END,
    e.at, e.at + interval '90 seconds', e.at + interval '1 hour' * random(),
    jsonb_build_object('learning_rate', round(random()::numeric, 6), 'batch_size', 16 * 2 ^ floor(6 * random()),
        'epochs', 5 * floor(20 * random())),
    CASE WHEN e.status = 'succeeded' THEN jsonb_build_object('loss', round(random()::numeric, 4), 'f1', round(random()::numeric, 3))
        ELSE '{}' END
FROM (
    SELECT i, 1 + floor(800 * random() ^ 3) AS n, 1 + floor(500 * random() ^ 2) AS model,
        CASE WHEN random() < 0.8 THEN 'succeeded' WHEN random() < 0.7 THEN 'failed' ELSE 'cancelled' END AS status,
        now() - 730 * (1 - (i / 120000.0) ^ 0.7) * interval '1 day' AS at
    FROM generate_series(1, 120000) AS i
) AS e;
INSERT INTO deployments SELECT gen_random_uuid(), md5('v' || 1 + floor(5000 * random() ^ 2))::uuid,
    (ARRAY[1, 1, 2, 2, 2, 3, 3, 3, 3])[1 + floor(9 * random())::int],
    CASE WHEN random() < 0.05 THEN 'active' WHEN random() < 0.85 THEN 'retired' ELSE 'rolled_back' END,
    now() - 700 * (1 - (i / 40000.0) ^ 0.6) * interval '1 day', 'deployer-' || floor(8 * random() ^ 2), 1 + floor(12 * random())
FROM generate_series(1, 40000) AS i;
INSERT INTO approvals SELECT gen_random_uuid(), md5('v' || 1 + i / 2)::uuid,
    (ARRAY['approved', 'superseded', 'rejected', 'pending'])[1 + floor(4 * random() ^ 1.5)::int],
    now() - 700 * (1 - i / 9990.0) * interval '1 day',
    CASE WHEN random() < 0.3 THEN now() - 700 * (1 - i / 9990.0) * interval '1 day' + interval '2 hours' END, 'someone'
FROM generate_series(1, 9990) AS i;
VACUUM ANALYZE;
