-- Smart meters as in the demo: one reading per meter and day, stored in the order of arrival.
SELECT setseed(0.4);
INSERT INTO m_customerinfo SELECT i, (ARRAY['Ana', 'Ben', 'Chiara', 'Dmitri', 'Emre'])[1 + i % 5], 'name ' || i % 200,
    'customer.' || i || '@example.org', 'city ' || i % 10, (ARRAY['flat', 'flat', 'day-night', 'dynamic'])[1 + i % 4],
    timestamptz '2021-01-01 00:00Z' + i * interval '3 hours' FROM generate_series(1, 4000) AS i;
INSERT INTO m_meterinfo SELECT i, CASE WHEN i <= 4000 THEN i ELSE 1 + floor(4000 * random()) END,
    'MSN' || 100000000 + i, (ARRAY['single-phase', 'single-phase', 'three-phase', 'heat-pump'])[1 + i % 4],
    CASE WHEN random() < 0.97 THEN 'connected' ELSE 'disconnected' END,
    timestamptz '2021-01-01 00:00Z' + i * interval '3 hours' FROM generate_series(1, 5000) AS i;
INSERT INTO t_dlpdata (reading_id, meter_id, reading_timestamp, kwh_reading)
SELECT (d - 1) * 5000 + m, m, timestamptz '2026-11-20 06:00Z' - (60 - d) * interval '1 day' + m * interval '4 seconds',
    round((exp(2 + 0.5 * (random() + random() + random() - 1.5)))::numeric, 4)
FROM generate_series(1, 60) AS d CROSS JOIN generate_series(1, 5000) AS m;
VACUUM ANALYZE;
