-- What cannot be true of what a run has predicted. One row is a player of a processor with his fault.
-- Input: nba_predictions.predictions of one run. Nobody has scored more than 100 points in a game; an interval holds its
--   value; a whole run of zeroes is a model without inputs, one player's may be what he usually does.
WITH judged AS (
  SELECT
    player_id,
    COUNTIF(value IS NULL OR low IS NULL OR high IS NULL) AS lacking,
    COUNTIF(NOT value BETWEEN 0 AND 100) AS beyond,
    COUNTIF(NOT (low <= value AND value <= high)) AS outside,
    COUNT(*) AS lines,
    SUM(SUM(ABS(value))) OVER () AS of_all
  FROM nba_predictions.predictions
  WHERE game_date = @day AND run = @run
  GROUP BY player_id
)
SELECT 'predictions' AS processor, player_id AS unit, CASE
  WHEN lacking > 0 THEN CONCAT(CAST(lacking AS STRING), ' of ', CAST(lines AS STRING), ' predictions lack a value')
  WHEN beyond > 0 THEN CONCAT(CAST(beyond AS STRING), ' of ', CAST(lines AS STRING), ' predictions are below 0 or above 100')
  WHEN outside > 0 THEN CONCAT(CAST(outside AS STRING), ' of ', CAST(lines AS STRING), ' intervals do not hold their value')
  ELSE 'nothing but zeroes is predicted of anybody'
END AS fault
FROM judged
WHERE lacking > 0 OR beyond > 0 OR outside > 0 OR of_all = 0
ORDER BY player_id
