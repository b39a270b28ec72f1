-- What the feature store should say of the players expected on as_of, read from where it is made: for those units of a
-- batch of which it says too little, or nothing. What came after the feature store was written is in here.
-- Input of this as_of: as of nba_precompute.ml_feature_store, whose formulas these are; a test holds them to be equal.
-- Columns: those of units.sql.
WITH features AS (
  SELECT
    upcoming.game_id, upcoming.player_id,
    cache.pts_last5, cache.pts_last10, cache.pts_season, cache.pts_std_last10,
    cache.minutes_last5, cache.minutes_last10, cache.usage_last10, cache.ts_last10,
    zone.share_pts_3pt,
    cache.games,
    upcoming.rest_days, upcoming.games_last_7d,
    IF(upcoming.is_home, 1, 0) AS is_home,
    factor.matchup_factor, factor.rest_factor, factor.pace_factor
  FROM nba_analytics.upcoming_player_game_context AS upcoming
  JOIN nba_precompute.player_daily_cache AS cache
    ON cache.player_id = upcoming.player_id AND cache.as_of = @as_of
  LEFT JOIN nba_precompute.player_shot_zone_analysis AS zone
    ON zone.player_id = upcoming.player_id AND zone.as_of = @as_of
  LEFT JOIN nba_precompute.player_composite_factors AS factor
    ON factor.player_id = upcoming.player_id AND factor.game_id = upcoming.game_id AND factor.as_of = @as_of
  WHERE upcoming.as_of = @as_of
)
SELECT
  player_id, game_id,
  pts_last5, pts_last10, pts_season, minutes_last5, minutes_last10, ts_last10,
  games, is_home,
  matchup_factor, rest_factor, pace_factor,
  IF(pts_last5 IS NULL, 0, 1)
    + IF(pts_last10 IS NULL, 0, 1)
    + IF(pts_season IS NULL, 0, 1)
    + IF(pts_std_last10 IS NULL, 0, 1)
    + IF(minutes_last5 IS NULL, 0, 1)
    + IF(minutes_last10 IS NULL, 0, 1)
    + IF(usage_last10 IS NULL, 0, 1)
    + IF(ts_last10 IS NULL, 0, 1)
    + IF(share_pts_3pt IS NULL, 0, 1)
    + IF(games IS NULL, 0, 1)
    + IF(rest_days IS NULL, 0, 1)
    + IF(games_last_7d IS NULL, 0, 1)
    + IF(is_home IS NULL, 0, 1)
    + IF(matchup_factor IS NULL, 0, 1)
    + IF(rest_factor IS NULL, 0, 1)
    + IF(pace_factor IS NULL, 0, 1) AS features_present,
  16 AS features_total
FROM features
ORDER BY player_id, game_id
