-- What the timer did because a message had not: how often the backup did the primary path's job. One row is a kind of act.
-- Parameters: pipeline, first, last (dates, both included).
-- Input: tipoff_ops.repairs, runs and outcomes, folded into an empty warehouse when the report is asked for (ops.sql).
--   Every generation of a run counts: what went wrong in one that was replayed went wrong all the same.
-- kind: see RepairKind in shared/core/model.py; a gate that had to wait for time to pass is none.
-- among: what it could have happened to, gates that were passed for `gate`, runs for `run`; null for the others, of
--   which nobody counts how often they went well.
WITH mine AS (
  SELECT run_id FROM tipoff_ops.runs WHERE pipeline = @pipeline AND date BETWEEN @first AND @last
),
totals AS (
  SELECT
    (SELECT COUNT(*) FROM mine) AS runs,
    (SELECT COUNT(*) FROM tipoff_ops.outcomes JOIN mine USING (run_id) WHERE kind IN ('open', 'done')) AS gates
)
SELECT
  kind,
  COUNT(*) AS times,
  COUNT(DISTINCT run_id) AS runs,
  CASE kind WHEN 'gate' THEN ANY_VALUE(totals.gates) WHEN 'run' THEN ANY_VALUE(totals.runs) END AS among,
  MIN(at) AS first_at,
  MAX(at) AS last_at
FROM tipoff_ops.repairs JOIN mine USING (run_id) CROSS JOIN totals
GROUP BY kind
ORDER BY times DESC, kind
