-- The games of a run's date and what this run predicts of them, for publication. One row is a prediction of a player by a
-- system; a game of which nobody is predicted is one row without a player.
-- Input: nba_raw.raw_schedule as the run of run_date read it; nba_predictions.predictions of this run alone;
--   nba_analytics.upcoming_player_game_context, which says who is still expected. Players by what the ensemble expects.
WITH predicted AS (
  SELECT
    prediction.game_id, prediction.player_id, player.player_name, player.team, player.opponent,
    prediction.completeness, prediction.system, prediction.value, prediction.low, prediction.high,
    MAX(IF(prediction.system = 'ensemble', prediction.value, NULL)) OVER (
      PARTITION BY prediction.game_id, prediction.player_id
    ) AS ensemble_value
  FROM nba_predictions.predictions AS prediction
  JOIN nba_analytics.upcoming_player_game_context AS player
    ON player.game_id = prediction.game_id AND player.player_id = prediction.player_id
  WHERE prediction.game_date = @run_date AND prediction.run = @run AND player.as_of = @as_of
)
SELECT
  game.game_id, game.home_team AS home, game.away_team AS away, game.tipoff_et,
  predicted.player_id, predicted.player_name, predicted.team, predicted.opponent,
  ROUND(predicted.completeness, 4) AS completeness,
  predicted.system,
  ROUND(predicted.value, 2) AS value,
  ROUND(predicted.low, 2) AS low,
  ROUND(predicted.high, 2) AS high
FROM nba_raw.raw_schedule AS game
LEFT JOIN predicted ON predicted.game_id = game.game_id
WHERE game.schedule_date = @run_date AND game.game_date = @run_date
ORDER BY
  game.tipoff_et NULLS LAST, game.game_id, predicted.ensemble_value DESC NULLS LAST, predicted.player_id,
  predicted.system
