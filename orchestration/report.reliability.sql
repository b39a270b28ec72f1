-- How far one could rely on the runs of each mode. One row is a mode.
-- Parameters: pipeline, first, last (dates, both included), now (a timestamp).
-- Input: tipoff_ops.runs, outcomes, incidents and words, folded into an empty warehouse when the report is asked for.
-- due: the runs, by date and mode, that had something to do and that no person cancelled, once they have published or
--   their deadline is over.
-- in_time: those of them that any generation published, complete or degraded, by the first one's deadline.
-- reliability: those that did so without a person's word, over due.
-- detection: from when the last came of what a gate was decided on (outcomes.ready_at) to its decision.
-- repair: from an incident's being raised to its being resolved (mean time to repair and its 95th percentile).
-- acts_per_month: words of people, over the days that the runs span, times 30.
WITH dated AS (
  SELECT
    mode, date,
    LOGICAL_OR(state = 'nothing_expected') AS is_holiday,
    LOGICAL_OR(cancelled) AS is_cancelled,
    MIN(deadline_at) AS deadline_at,
    MIN(published_at) AS published_at
  FROM tipoff_ops.runs
  WHERE pipeline = @pipeline AND date BETWEEN @first AND @last
  GROUP BY mode, date
),
aided AS (
  SELECT DISTINCT runs.mode, runs.date
  FROM tipoff_ops.words AS words
  JOIN tipoff_ops.runs AS runs ON runs.run_id = words.run_id
),
counted AS (
  SELECT
    dated.mode,
    MIN(dated.date) AS first_date,
    MAX(dated.date) AS last_date,
    COUNT(*) AS due,
    COUNTIF(published_at <= deadline_at) AS in_time,
    COUNTIF(published_at <= deadline_at AND aided.date IS NULL) AS unaided
  FROM dated
  LEFT JOIN aided ON aided.mode = dated.mode AND aided.date = dated.date
  WHERE NOT is_holiday AND NOT is_cancelled AND (deadline_at <= @now OR published_at IS NOT NULL)
  GROUP BY dated.mode
),
late AS (
  SELECT
    runs.mode,
    PERCENTILE_CONT(
      TIMESTAMP_DIFF(outcomes.decided_at, outcomes.ready_at, MILLISECOND) / 1000.0, 0.95
    ) OVER (PARTITION BY runs.mode) AS p95_s,
    TIMESTAMP_DIFF(outcomes.decided_at, outcomes.ready_at, MILLISECOND) / 1000.0 AS late_s
  FROM tipoff_ops.outcomes AS outcomes
  JOIN tipoff_ops.runs AS runs ON runs.run_id = outcomes.run_id
  WHERE outcomes.ready_at IS NOT NULL AND runs.pipeline = @pipeline
),
detected AS (
  SELECT mode, MAX(p95_s) AS p95_s, MAX(late_s) AS max_s
  FROM late
  GROUP BY mode
),
mended AS (
  SELECT
    runs.mode,
    TIMESTAMP_DIFF(incidents.resolved_at, incidents.raised_at, MILLISECOND) / 1000.0 AS repair_s,
    PERCENTILE_CONT(
      TIMESTAMP_DIFF(incidents.resolved_at, incidents.raised_at, MILLISECOND) / 1000.0, 0.95
    ) OVER (PARTITION BY runs.mode) AS p95_s
  FROM tipoff_ops.incidents AS incidents
  JOIN tipoff_ops.runs AS runs ON runs.run_id = incidents.run_id
  WHERE runs.pipeline = @pipeline
),
repaired AS (
  SELECT
    mode, COUNT(*) AS incidents, COUNTIF(repair_s IS NULL) AS incidents_open,
    AVG(repair_s) AS mean_s, MAX(p95_s) AS p95_s
  FROM mended
  GROUP BY mode
),
said AS (
  SELECT runs.mode, COUNT(*) AS acts
  FROM tipoff_ops.words AS words
  JOIN tipoff_ops.runs AS runs ON runs.run_id = words.run_id
  WHERE runs.pipeline = @pipeline
  GROUP BY runs.mode
)
SELECT
  counted.mode,
  counted.due,
  counted.in_time,
  counted.unaided,
  ROUND(counted.unaided / counted.due, 5) AS reliability,
  ROUND(detected.p95_s, 3) AS detection_p95_s,
  ROUND(detected.max_s, 3) AS detection_max_s,
  COALESCE(repaired.incidents, 0) AS incidents,
  COALESCE(repaired.incidents_open, 0) AS incidents_open,
  ROUND(repaired.mean_s, 1) AS repair_mean_s,
  ROUND(repaired.p95_s, 1) AS repair_p95_s,
  COALESCE(said.acts, 0) AS acts,
  ROUND(30 * COALESCE(said.acts, 0) / (DATE_DIFF(counted.last_date, counted.first_date, DAY) + 1), 2) AS acts_per_month
FROM counted
LEFT JOIN detected ON detected.mode = counted.mode
LEFT JOIN repaired ON repaired.mode = counted.mode
LEFT JOIN said ON said.mode = counted.mode
ORDER BY counted.mode
