-- What is to be predicted. One row is a player who is expected in a game on as_of, with all that is known of him.
-- Input: nba_precompute.ml_feature_store of this as_of. The column player_id is the unit.
SELECT
  player_id, game_id,
  pts_last5, pts_last10, pts_season, minutes_last5, minutes_last10, ts_last10,
  games, is_home,
  matchup_factor, rest_factor, pace_factor,
  features_present, features_total
FROM nba_precompute.ml_feature_store
WHERE as_of = @as_of
ORDER BY player_id, game_id
