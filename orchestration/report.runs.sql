-- How the runs of each mode ended, and how long they took. One row is a mode.
-- Parameters: pipeline, first, last (dates, both included).
-- Input: tipoff_ops.runs, folded into an empty warehouse when the report is asked for (ops.sql). The newest generation
--   of a date counts; older ones are replays.
-- Durations and completeness are of the runs that published, degraded ones among them; on a day without games there is
--   nothing to take time. Percentiles lie between two runs (PERCENTILE_CONT), p95 of few runs says little.
WITH ranked AS (
  SELECT
    mode, state, duration_s, completeness,
    state IN ('published', 'degraded') AS has_published,
    ROW_NUMBER() OVER (PARTITION BY date, mode ORDER BY generation DESC) AS age
  FROM tipoff_ops.runs
  WHERE pipeline = @pipeline AND date BETWEEN @first AND @last
),
timed AS (
  SELECT
    mode, state, completeness, has_published, duration_s,
    PERCENTILE_CONT(IF(has_published, duration_s, NULL), 0.5) OVER (PARTITION BY mode) AS p50_s,
    PERCENTILE_CONT(IF(has_published, duration_s, NULL), 0.95) OVER (PARTITION BY mode) AS p95_s
  FROM ranked
  WHERE age = 1
),
replays AS (
  SELECT mode, COUNTIF(age > 1) AS replays
  FROM ranked
  GROUP BY mode
)
SELECT
  timed.mode,
  COUNT(*) AS runs,
  MAX(replays.replays) AS replays,
  COUNTIF(state = 'published') AS published,
  COUNTIF(state = 'degraded') AS degraded,
  COUNTIF(state = 'nothing_expected') AS nothing_expected,
  COUNTIF(state = 'failed') AS failed,
  COUNTIF(state = 'blocked') AS blocked,
  COUNTIF(state = 'running') AS running,
  ROUND(MAX(p50_s), 3) AS duration_p50_s,
  ROUND(MAX(p95_s), 3) AS duration_p95_s,
  ROUND(MAX(IF(has_published, duration_s, NULL)), 3) AS duration_max_s,
  ROUND(AVG(IF(has_published, completeness, NULL)), 4) AS completeness_mean,
  ROUND(MIN(IF(has_published, completeness, NULL)), 4) AS completeness_min
FROM timed
JOIN replays ON replays.mode = timed.mode
GROUP BY timed.mode
ORDER BY timed.mode
