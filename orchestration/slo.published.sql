-- What the objectives of publishing judge. One row is a date and mode that were due: the newest generation's run_id.
-- Parameters: pipeline, first, last (dates, both included), now (a timestamp).
-- Input: tipoff_ops.runs, folded into an empty warehouse when it is asked for (ops.sql).
-- due: as in report.reliability.sql, had something to do and no person cancelled it, once it has published or its
--   deadline is over.
-- is_begun: false for one that the calendar expects and nobody has begun (state missing): absence is a row.
-- measured_s: from the first generation's deadline until any generation had published, or until now; below zero in time.
WITH dated AS (
  SELECT
    mode, date,
    MAX_BY(run_id, generation) AS run_id,
    LOGICAL_OR(state = 'nothing_expected') AS is_holiday,
    LOGICAL_OR(cancelled) AS is_cancelled,
    LOGICAL_OR(state <> 'missing') AS is_begun,
    MIN(deadline_at) AS deadline_at,
    MIN(published_at) AS published_at
  FROM tipoff_ops.runs
  WHERE pipeline = @pipeline AND date BETWEEN @first AND @last
  GROUP BY mode, date
)
SELECT
  run_id, date,
  '' AS phase,
  COALESCE(published_at, deadline_at) AS happened_at,
  TIMESTAMP_DIFF(COALESCE(published_at, @now), deadline_at, MILLISECOND) / 1000.0 AS measured_s,
  CAST(NULL AS FLOAT64) AS usual_s,
  is_begun
FROM dated
WHERE NOT is_holiday AND NOT is_cancelled AND (deadline_at <= @now OR published_at IS NOT NULL)
ORDER BY date, run_id
