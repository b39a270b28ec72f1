-- How far off the ensemble was on a date, and how far off it usually is. One row.
-- Parameters: first, day (dates, both included), days (how many graded days before it say what is usual).
-- Input: nba_predictions.accuracy (predictions of players who played, one run's per player and game).
-- error = mean |predicted - actual| points of the day; usual = the mean of that over the last `days` graded days before
--   it, each day once; null where none was graded. graded: how many predictions of the day were.
WITH daily AS (
  SELECT game_date, COUNT(*) AS graded, AVG(ABS(error)) AS error
  FROM nba_predictions.accuracy
  WHERE system = 'ensemble' AND game_date BETWEEN @first AND @day
  GROUP BY game_date
),
ranked AS (
  SELECT error, ROW_NUMBER() OVER (ORDER BY game_date DESC) AS place
  FROM daily
  WHERE game_date < @day
),
usually AS (
  SELECT COUNT(*) AS days, AVG(error) AS error
  FROM ranked
  WHERE place <= @days
),
the_day AS (
  SELECT SUM(graded) AS graded, MAX(error) AS error
  FROM daily
  WHERE game_date = @day
)
SELECT
  COALESCE(the_day.graded, 0) AS graded,
  ROUND(the_day.error, 3) AS error,
  ROUND(usually.error, 3) AS usual,
  usually.days AS days
FROM the_day
CROSS JOIN usually
