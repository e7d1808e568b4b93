-- What people write over the model registry of the demo and should not. "model stats" is of the performance-tuning
-- exercise (step 1.3); what else is of it stands in crates/pgwright/src/demo/registry_exercise.sql.

-- dashboard: statement of the demo
SELECT m.model_name, mv.semver, d.environment_id, d.status, d.deployed_at, d.deployed_by
FROM deployments d
INNER JOIN model_versions mv ON d.version_id = mv.version_id
INNER JOIN models m ON mv.model_id = m.model_id
WHERE d.deployed_at > NOW() - INTERVAL '30 days'
ORDER BY d.deployed_at DESC
LIMIT 50;
-- training-runs: statement of the demo
SELECT run_id, model_name, status, accuracy, created_at
FROM training_runs
WHERE experiment_name = 'fraud-exp-001'
  AND created_at > NOW() - INTERVAL '7 days'
ORDER BY accuracy DESC NULLS LAST
LIMIT 20;
-- model-stats: statement of the demo
SELECT
    m.model_name,
    COUNT(DISTINCT mv.version_id) as version_count,
    COUNT(DISTINCT tr.run_id) as training_runs,
    COUNT(DISTINCT d.deployment_id) as deployments,
    MAX(tr.accuracy) as best_accuracy
FROM models m
LEFT JOIN model_versions mv ON m.model_id = mv.model_id
LEFT JOIN training_runs tr ON tr.version_id = mv.version_id
LEFT JOIN deployments d ON d.version_id = mv.version_id
WHERE m.is_active = true
GROUP BY m.model_id, m.model_name
ORDER BY deployments DESC;
-- deployment-status: statement of the demo
SELECT m.model_name, mv.semver, d.status, d.replicas, d.deployed_at
FROM deployments d
INNER JOIN model_versions mv ON d.version_id = mv.version_id
INNER JOIN models m ON mv.model_id = m.model_id
WHERE d.environment_id = 1 AND d.status = 'active'
ORDER BY d.deployed_at DESC;
-- left-join-is-null: versions that were never deployed
SELECT mv.version_id, mv.semver FROM model_versions mv LEFT JOIN deployments d ON d.version_id = mv.version_id
WHERE d.deployment_id IS NULL;
-- not-in-nullable: the column of the subquery may be NULL
SELECT version_id FROM model_versions WHERE version_id NOT IN (SELECT version_id FROM training_runs);
-- or-chain: one column, value by value
SELECT count(*) FROM training_runs WHERE status = 'queued' OR status = 'running' OR status = 'failed';
-- time-range: an hour
SELECT count(*) FROM training_runs WHERE date_trunc('hour', created_at) = date_trunc('hour', now() - interval '2 days');
-- correlated-aggregate: a count per version
SELECT mv.version_id, (SELECT count(*) FROM training_runs tr WHERE tr.version_id = mv.version_id) AS runs FROM model_versions mv;
-- correlated-aggregate-small: a count per model
SELECT m.model_name, (SELECT count(*) FROM model_versions mv WHERE mv.model_id = m.model_id) AS versions FROM models m;
-- count-to-exists: counted to know whether there is any
SELECT mv.version_id FROM model_versions mv
WHERE (SELECT count(*) FROM deployments d WHERE d.version_id = mv.version_id AND d.status = 'active') > 0;
-- distinct-to-exists: versions that were deployed
SELECT DISTINCT mv.version_id, mv.semver FROM model_versions mv JOIN deployments d ON d.version_id = mv.version_id;
-- inner-join-dropped: parents of which nothing is used
SELECT d.deployment_id, d.status FROM deployments d
JOIN model_versions mv ON mv.version_id = d.version_id
JOIN environments e ON e.environment_id = d.environment_id
WHERE d.status = 'pending';
-- exists-or: deployed or approved
SELECT mv.version_id FROM model_versions mv
WHERE EXISTS (SELECT 1 FROM deployments d WHERE d.version_id = mv.version_id)
   OR EXISTS (SELECT 1 FROM approvals a WHERE a.version_id = mv.version_id);
-- cte-unfenced: one run out of a fenced table
WITH runs AS MATERIALIZED (SELECT * FROM training_runs)
SELECT status FROM runs WHERE run_id = (SELECT min(run_id::text)::uuid FROM training_runs WHERE version_id IS NOT NULL);
-- union-to-union-all: branches that cannot meet
SELECT run_id, status, accuracy FROM training_runs WHERE status = 'failed'
UNION
SELECT run_id, status, accuracy FROM training_runs WHERE status = 'cancelled';
-- scans-to-filter: a scan for each figure
SELECT (SELECT count(*) FROM training_runs WHERE status = 'running') AS running,
       (SELECT count(*) FROM training_runs WHERE status = 'failed') AS failed,
       (SELECT max(accuracy) FROM training_runs WHERE status = 'succeeded') AS best;
-- native-type: a key as text
SELECT status FROM training_runs WHERE run_id::text = '00000000-0000-4000-8000-000000000001';
-- bare-column: arithmetic on the column
SELECT count(*) FROM training_runs WHERE created_at + interval '1 hour' > now();
-- coalesce-value: a default that is not asked for
SELECT run_id FROM training_runs WHERE COALESCE(accuracy, 0) = 0.97;
-- keyset-row: the next page, column by column
SELECT run_id, created_at FROM training_runs
WHERE created_at < now() - interval '3 days'
   OR (created_at = now() - interval '3 days' AND run_id < '80000000-0000-4000-8000-000000000000')
ORDER BY created_at DESC, run_id DESC LIMIT 20;
-- extreme-to-window: the best runs of each experiment
SELECT tr.run_id, tr.experiment_name FROM training_runs tr
WHERE tr.accuracy = (SELECT max(x.accuracy) FROM training_runs x WHERE x.version_id = tr.version_id);
-- limit-below-join: twenty rows after the join of all
SELECT d.deployment_id, d.deployed_at, mv.semver FROM deployments d JOIN model_versions mv ON mv.version_id = d.version_id
ORDER BY d.deployed_at DESC, d.deployment_id LIMIT 20;
-- top-n-lateral: the last deployment of each version
SELECT version_id, deployment_id FROM (
    SELECT version_id, deployment_id, row_number() OVER (PARTITION BY version_id ORDER BY deployed_at DESC, deployment_id) AS n
    FROM deployments
) w WHERE n <= 1;
-- grouped-lateral: the versions of one model, of all that are counted
SELECT m.model_name, v.versions FROM models m
JOIN (SELECT model_id, count(*) AS versions FROM model_versions GROUP BY model_id) v ON v.model_id = m.model_id
WHERE m.model_name = 'fraud-detection';
-- function-once: asked for every row
SELECT count(*) FROM training_runs WHERE experiment_name = this_experiment();
-- distinct-to-skip-scan: few values of many rows
SELECT DISTINCT environment_id FROM deployments;
-- distinct-to-skip-scan-wide: nearly as many values as rows
SELECT DISTINCT version_id FROM deployments;
-- pre-aggregate: runs and deployments multiply each other
SELECT mv.version_id, count(DISTINCT tr.run_id) AS runs, count(DISTINCT d.deployment_id) AS deployments
FROM model_versions mv
LEFT JOIN training_runs tr ON tr.version_id = mv.version_id
LEFT JOIN deployments d ON d.version_id = mv.version_id
GROUP BY mv.version_id;
-- index-pointers: a pattern with an open beginning
SELECT run_id FROM training_runs WHERE experiment_name LIKE '%exp-042%';
