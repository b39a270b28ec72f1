-- What is there for a run's date. One row is a table: its partition, rows, and games (null for those without).
-- Input: every table of the pipeline. Predictions are those of the run's own date: overnight graded them.
SELECT
  'nba_scrape.schedule' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_scrape.schedule
WHERE schedule_date = @run_date
UNION ALL
SELECT
  'nba_scrape.boxscores' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_scrape.boxscores
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_raw.raw_schedule' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_raw.raw_schedule
WHERE schedule_date = @run_date
UNION ALL
SELECT
  'nba_raw.player_boxscores' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_raw.player_boxscores
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_raw.team_boxscores' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_raw.team_boxscores
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_analytics.team_offense_game_summary' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_analytics.team_offense_game_summary
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_analytics.team_defense_game_summary' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_analytics.team_defense_game_summary
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_analytics.player_game_summary' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_analytics.player_game_summary
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_analytics.upcoming_player_game_context' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_analytics.upcoming_player_game_context
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_analytics.upcoming_team_game_context' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_analytics.upcoming_team_game_context
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_precompute.team_defense_zone_analysis' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, NULL AS games
FROM nba_precompute.team_defense_zone_analysis
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_precompute.player_shot_zone_analysis' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, NULL AS games
FROM nba_precompute.player_shot_zone_analysis
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_precompute.player_daily_cache' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, NULL AS games
FROM nba_precompute.player_daily_cache
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_precompute.player_composite_factors' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_precompute.player_composite_factors
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_precompute.ml_feature_store' AS table_name, @as_of AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_precompute.ml_feature_store
WHERE as_of = @as_of
UNION ALL
SELECT
  'nba_predictions.predictions' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_predictions.predictions
WHERE game_date = @run_date
UNION ALL
SELECT
  'nba_predictions.accuracy' AS table_name, @run_date AS partition_date,
  COUNT(*) AS row_count, COUNT(DISTINCT game_id) AS games
FROM nba_predictions.accuracy
WHERE game_date = @run_date
ORDER BY table_name
