-- What the objectives of ready-not-fired judge. One row is an attempt of a gate that opened, or that ended its run.
-- Parameters: pipeline, first, last (dates, both included).
-- Input: tipoff_ops.outcomes and runs, folded into an empty warehouse when it is asked for (ops.sql).
-- measured_s: from when the last came of what it was decided on (ready_at) to its decision. Gates that open by
--   themselves, and those of which nobody noted it, are none.
SELECT
  outcomes.run_id,
  outcomes.date,
  outcomes.gate AS phase,
  outcomes.decided_at AS happened_at,
  TIMESTAMP_DIFF(outcomes.decided_at, outcomes.ready_at, MILLISECOND) / 1000.0 AS measured_s,
  CAST(NULL AS FLOAT64) AS usual_s
FROM tipoff_ops.outcomes AS outcomes
JOIN tipoff_ops.runs AS runs ON runs.run_id = outcomes.run_id
WHERE
  runs.pipeline = @pipeline AND outcomes.date BETWEEN @first AND @last
  AND outcomes.kind IN ('open', 'done') AND outcomes.ready_at IS NOT NULL
ORDER BY happened_at, outcomes.run_id, phase
