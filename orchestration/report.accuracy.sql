-- How far off the predictions were, beside what a plain average of a player's last games would have said.
-- Parameters: first, last (dates, both included).
-- One row is a system, or one of the two baselines. Input: nba_predictions.accuracy (predictions of players who played,
--   one run's per player and game), nba_analytics.player_game_summary.
-- mae = mean |predicted - actual| points; bias = mean (predicted - actual); inside_share = share of the games whose
--   actual points lie in the interval, which is made to hold 80 %.
-- A baseline is asked about the same players and games: the mean of up to 5 or 10 of his games this season, strictly
--   before that game; who has played none yet, it has no word on, and n says so.
-- ensemble_difference_pct = 100 (MAE of the ensemble / MAE of the row - 1) over the games that both have a word on;
--   below zero the ensemble is closer.
WITH graded AS (
  SELECT game_date, game_id, player_id, system, actual, error, inside
  FROM nba_predictions.accuracy
  WHERE game_date BETWEEN @first AND @last
),
form AS (
  SELECT
    game_date, game_id, player_id,
    AVG(pts) OVER (
      PARTITION BY player_id, season ORDER BY game_date ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING
    ) AS last_5,
    AVG(pts) OVER (
      PARTITION BY player_id, season ORDER BY game_date ROWS BETWEEN 10 PRECEDING AND 1 PRECEDING
    ) AS last_10
  FROM nba_analytics.player_game_summary
  WHERE game_date <= @last
),
played AS (
  SELECT DISTINCT graded.game_date, graded.game_id, graded.player_id, graded.actual, form.last_5, form.last_10
  FROM graded
  JOIN form
    ON form.game_date = graded.game_date AND form.game_id = graded.game_id AND form.player_id = graded.player_id
),
judged AS (
  SELECT game_id, player_id, 'system' AS kind, system, error, inside FROM graded
  UNION ALL
  SELECT game_id, player_id, 'baseline' AS kind, 'last_5_games' AS system, last_5 - actual AS error, NULL AS inside
  FROM played WHERE last_5 IS NOT NULL
  UNION ALL
  SELECT game_id, player_id, 'baseline' AS kind, 'last_10_games' AS system, last_10 - actual AS error, NULL AS inside
  FROM played WHERE last_10 IS NOT NULL
),
ensemble AS (
  SELECT game_id, player_id, error AS ensemble_error
  FROM graded
  WHERE system = 'ensemble'
)
SELECT
  kind, system,
  COUNT(*) AS n,
  ROUND(AVG(ABS(error)), 3) AS mae,
  ROUND(AVG(error), 3) AS bias,
  ROUND(AVG(IF(inside IS NULL, NULL, IF(inside, 1.0, 0.0))), 3) AS inside_share,
  ROUND(
    100 * (SAFE_DIVIDE(AVG(ABS(ensemble_error)), AVG(IF(ensemble_error IS NULL, NULL, ABS(error)))) - 1), 2
  ) AS ensemble_difference_pct
FROM judged
LEFT JOIN ensemble ON ensemble.game_id = judged.game_id AND ensemble.player_id = judged.player_id
GROUP BY kind, system
ORDER BY kind DESC, mae, system
