-- What the backup did because the primary path had not, and beside how much. One row is a kind of act; none: it did nothing.
-- Parameters: pipeline, first, last (dates, both included).
-- Input: tipoff_ops.repairs and tipoff_ops.runs, folded into an empty warehouse when the report is asked for (ops.sql).
--   Every generation of a run counts: what went wrong in one that was replayed went wrong all the same.
-- A kind is one of shared/core/model.py, RepairKind. `among` is what it could have happened to: gates that were passed for
--   `gate`, runs for `run`, null for the others, of which nobody counts how often they went well.
WITH totals AS (
  SELECT COUNT(*) AS runs, SUM(gates) AS gates
  FROM tipoff_ops.runs
  WHERE pipeline = @pipeline AND date BETWEEN @first AND @last
)
SELECT
  kind,
  COUNT(*) AS times,
  COUNT(DISTINCT run_id) AS runs,
  CASE kind WHEN 'gate' THEN ANY_VALUE(totals.gates) WHEN 'run' THEN ANY_VALUE(totals.runs) END AS among,
  MIN(at) AS first_at,
  MAX(at) AS last_at
FROM tipoff_ops.repairs CROSS JOIN totals
WHERE pipeline = @pipeline AND date BETWEEN @first AND @last
GROUP BY kind
ORDER BY times DESC, kind
