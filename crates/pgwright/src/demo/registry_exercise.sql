-- What the performance-tuning exercise says not to write (step 5.1) and its challenge 1, letter by letter; where the demo has
-- no such values, the same again with values that it has. A line names each: name, a colon, what it is.

-- exercise-or: OR over different columns
SELECT * FROM training_runs
WHERE model_name = 'fraud-detection' OR experiment_name = 'exp-001';
-- exercise-or-of-the-demo: the same with values that the demo has
SELECT * FROM training_runs
WHERE model_name = 'fraud-detector' OR experiment_name = 'fraud-exp-001';
-- exercise-not-in: NOT IN with a subquery
SELECT * FROM models
WHERE model_id NOT IN (SELECT model_id FROM model_versions);
-- exercise-offset: SELECT * with OFFSET
SELECT * FROM training_runs
ORDER BY created_at DESC
LIMIT 20 OFFSET 10000;
-- exercise-function: a function around a column
SELECT * FROM training_runs
WHERE DATE(created_at) = '2024-01-15';
-- exercise-function-of-the-demo: the same on a day that the demo has
SELECT * FROM training_runs WHERE DATE(created_at) = current_date - 3;
-- challenge-1: the analytical query of the exercise
SELECT
    m.model_name,
    COUNT(DISTINCT d.deployment_id) as total_deployments,
    COUNT(DISTINCT d.deployment_id) FILTER (WHERE d.status = 'active') as active_deployments,
    MAX(d.deployed_at) as last_deployment,
    AVG(tr.accuracy) FILTER (WHERE tr.status = 'succeeded') as avg_accuracy,
    COUNT(DISTINCT tr.run_id) as total_runs
FROM models m
LEFT JOIN model_versions mv ON m.model_id = mv.model_id
LEFT JOIN deployments d ON mv.version_id = d.version_id
LEFT JOIN training_runs tr ON mv.version_id = tr.version_id
WHERE m.created_at > NOW() - INTERVAL '90 days'
GROUP BY m.model_id, m.model_name
HAVING COUNT(DISTINCT d.deployment_id) > 0
ORDER BY total_deployments DESC;
