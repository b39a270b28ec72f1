-- How well a date was predicted, for publication. One row is a system.
-- Input: nba_predictions.accuracy. error = predicted - actual points; inside: the interval held the actual points.
-- Errors have six digits and are summed as whole millionths: a sum of floats differs in its last bits with the order of
--   its rows, and half of the last digit shown is a value like any other here.
SELECT
  system,
  STRING_AGG(DISTINCT graded_run, ',') AS graded_runs,
  COUNT(*) AS players,
  ROUND(SUM(CAST(ROUND(1000000 * ABS(error)) AS INT64)) / (1000000 * COUNT(*)), 4) AS mean_absolute_error,
  ROUND(AVG(IF(inside, 1, 0)), 4) AS inside_share
FROM nba_predictions.accuracy
WHERE game_date = @first
GROUP BY system
ORDER BY system
