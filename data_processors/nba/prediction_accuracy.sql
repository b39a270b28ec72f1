-- Predictions against what happened. One row is a prediction of a player who played.
-- Input: nba_predictions.current (each player's predictions of one run: same_day before tomorrow),
--   nba_analytics.player_game_summary. error = predicted - actual points; inside: low <= actual <= high.
SELECT
  prediction.game_date,
  prediction.run AS graded_run,
  prediction.game_id, prediction.player_id, prediction.system,
  prediction.value, prediction.low, prediction.high,
  CAST(player.pts AS FLOAT64) AS actual,
  ROUND(prediction.value - player.pts, 6) AS error,
  player.pts BETWEEN prediction.low AND prediction.high AS inside,
  prediction.completeness
FROM nba_predictions.current AS prediction
JOIN nba_analytics.player_game_summary AS player
  ON player.game_date = prediction.game_date
  AND player.game_id = prediction.game_id
  AND player.player_id = prediction.player_id
WHERE prediction.game_date BETWEEN @first AND @last AND player.game_date BETWEEN @first AND @last
