-- Every table and view of the nba pipeline, in BigQuery's dialect; running it again changes nothing.
-- run, attempt and fence say who wrote a row; a partition is replaced whole, never by an older fence.
-- inputs_completeness and inputs_missing say how whole what it was made from was; inputs_missing is null where it was.
-- Ids are text: nobody adds them up.

CREATE SCHEMA IF NOT EXISTS nba_scrape;
CREATE SCHEMA IF NOT EXISTS nba_raw;
CREATE SCHEMA IF NOT EXISTS nba_analytics;
CREATE SCHEMA IF NOT EXISTS nba_precompute;
CREATE SCHEMA IF NOT EXISTS nba_predictions;

-- One row: a game as the schedule had it when the run of schedule_date read it.
CREATE TABLE IF NOT EXISTS nba_scrape.schedule (
  schedule_date DATE NOT NULL, game_id STRING, game_date DATE,
  payload STRING,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY schedule_date CLUSTER BY game_id;

-- One row: a line of a finished game as it came. line: player, team, or game (its score and number of lines).
CREATE TABLE IF NOT EXISTS nba_scrape.boxscores (
  game_date DATE NOT NULL, game_id STRING,
  line STRING,
  payload STRING,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY game_id;

-- One row: a landed line, typed, with the reason why its game is not whole; null where the game may pass.
-- A game passes whole or not at all, and player_boxscores and team_boxscores let the same games pass.
CREATE OR REPLACE VIEW nba_raw.checked_lines AS
WITH typed AS (
  SELECT
    game_date, game_id, line,
    JSON_VALUE(payload, '$.season') AS season,
    JSON_VALUE(payload, '$.team_id') AS team_id,
    JSON_VALUE(payload, '$.team') AS team,
    JSON_VALUE(payload, '$.team_name') AS team_name,
    JSON_VALUE(payload, '$.opponent') AS opponent,
    SAFE_CAST(JSON_VALUE(payload, '$.is_home') AS BOOL) AS is_home,
    JSON_VALUE(payload, '$.player_id') AS player_id,
    JSON_VALUE(payload, '$.player_name') AS player_name,
    SAFE_CAST(JSON_VALUE(payload, '$.minutes') AS INT64) AS minutes,
    SAFE_CAST(JSON_VALUE(payload, '$.pts') AS INT64) AS pts,
    SAFE_CAST(JSON_VALUE(payload, '$.reb') AS INT64) AS reb,
    SAFE_CAST(JSON_VALUE(payload, '$.ast') AS INT64) AS ast,
    SAFE_CAST(JSON_VALUE(payload, '$.stl') AS INT64) AS stl,
    SAFE_CAST(JSON_VALUE(payload, '$.blk') AS INT64) AS blk,
    SAFE_CAST(JSON_VALUE(payload, '$.tov') AS INT64) AS tov,
    SAFE_CAST(JSON_VALUE(payload, '$.pf') AS INT64) AS pf,
    SAFE_CAST(JSON_VALUE(payload, '$.fgm') AS INT64) AS fgm,
    SAFE_CAST(JSON_VALUE(payload, '$.fga') AS INT64) AS fga,
    SAFE_CAST(JSON_VALUE(payload, '$.fg3m') AS INT64) AS fg3m,
    SAFE_CAST(JSON_VALUE(payload, '$.fg3a') AS INT64) AS fg3a,
    SAFE_CAST(JSON_VALUE(payload, '$.ftm') AS INT64) AS ftm,
    SAFE_CAST(JSON_VALUE(payload, '$.fta') AS INT64) AS fta,
    SAFE_CAST(JSON_VALUE(payload, '$.oreb') AS INT64) AS oreb,
    SAFE_CAST(JSON_VALUE(payload, '$.dreb') AS INT64) AS dreb,
    SAFE_CAST(JSON_VALUE(payload, '$.plus_minus') AS INT64) AS plus_minus,
    -- read from game lines alone: parsing is most of the work
    IF(line = 'game', JSON_VALUE(payload, '$.home_team'), NULL) AS home_team,
    IF(line = 'game', JSON_VALUE(payload, '$.away_team'), NULL) AS away_team,
    IF(line = 'game', SAFE_CAST(JSON_VALUE(payload, '$.home_pts') AS INT64), NULL) AS home_pts,
    IF(line = 'game', SAFE_CAST(JSON_VALUE(payload, '$.away_pts') AS INT64), NULL) AS away_pts,
    IF(line = 'game', SAFE_CAST(JSON_VALUE(payload, '$.player_rows') AS INT64), NULL) AS player_rows
  FROM nba_scrape.boxscores
),
named AS (
  SELECT
    *,
    CASE line WHEN 'player' THEN CONCAT('player ', player_id) WHEN 'team' THEN CONCAT('team ', team) END AS who
  FROM typed
),
gathered AS (
  SELECT
    * EXCEPT (home_team, away_team, home_pts, away_pts, player_rows),
    COUNT(*) OVER (PARTITION BY game_date, game_id, line, who) AS lines_of_who,
    COUNT(IF(line = 'player', 1, NULL)) OVER (PARTITION BY game_date, game_id) AS player_lines,
    COUNT(IF(line = 'team', 1, NULL)) OVER (PARTITION BY game_date, game_id) AS team_lines,
    SUM(IF(line = 'player', pts, 0)) OVER (PARTITION BY game_date, game_id, team) AS players_pts,
    MAX(home_team) OVER (PARTITION BY game_date, game_id) AS home_team,
    MAX(away_team) OVER (PARTITION BY game_date, game_id) AS away_team,
    MAX(home_pts) OVER (PARTITION BY game_date, game_id) AS home_pts,
    MAX(away_pts) OVER (PARTITION BY game_date, game_id) AS away_pts,
    MAX(player_rows) OVER (PARTITION BY game_date, game_id) AS player_rows
  FROM named
),
judged AS (
  SELECT *, CASE
    WHEN home_team IS NULL OR away_team IS NULL THEN 'no finished game has this id'
    WHEN team_lines <> 2 THEN CONCAT(CAST(team_lines AS STRING), ' team lines, not 2')
    WHEN player_lines <> player_rows THEN
      CONCAT(CAST(player_lines AS STRING), ' player lines, the schedule says ', CAST(player_rows AS STRING))
    WHEN line = 'game' THEN NULL
    WHEN who IS NULL OR team IS NULL OR opponent IS NULL OR is_home IS NULL THEN
      CONCAT('key missing in a line of ', COALESCE(who, line))
    WHEN lines_of_who > 1 THEN CONCAT(who, ' is there twice')
    WHEN team <> IF(is_home, home_team, away_team) OR opponent <> IF(is_home, away_team, home_team) THEN
      CONCAT(who, ' is not on a side of this game')
    WHEN minutes + pts + reb + ast + stl + blk + tov + pf + fgm + fga + fg3m + fg3a + ftm + fta + oreb + dreb
      IS NULL THEN
      CONCAT('unreadable number for ', who)
    WHEN LEAST(minutes, pts, reb, ast, stl, blk, tov, pf, fgm, fga, fg3m, fg3a, ftm, fta, oreb, dreb) < 0 THEN
      CONCAT('negative number for ', who)
    WHEN pts <> 2 * (fgm - fg3m) + 3 * fg3m + ftm THEN
      CONCAT('pts identity broken for ', who, ' (', CAST(pts AS STRING), ' <> ',
        CAST(2 * (fgm - fg3m) + 3 * fg3m + ftm AS STRING), ')')
    WHEN reb <> oreb + dreb THEN
      CONCAT('reb identity broken for ', who, ' (', CAST(reb AS STRING), ' <> ', CAST(oreb + dreb AS STRING), ')')
    WHEN fgm > fga OR fg3m > fg3a OR ftm > fta OR fg3m > fgm OR fg3a > fga THEN
      CONCAT('made more than attempted for ', who)
    WHEN line = 'team' AND pts <> IF(is_home, home_pts, away_pts) THEN
      CONCAT(who, ' has ', CAST(pts AS STRING), ' points, the final score says ',
        CAST(IF(is_home, home_pts, away_pts) AS STRING))
    WHEN line = 'team' AND pts <> players_pts THEN
      CONCAT('players of ', team, ' sum to ', CAST(players_pts AS STRING), ' points, the final score says ',
        CAST(pts AS STRING))
  END AS line_fault
  FROM gathered
)
SELECT
  game_date, game_id, line, season, team_id, team, team_name, opponent, is_home, player_id, player_name,
  minutes, pts, reb, ast, stl, blk, tov, pf,
  fgm, fga, fg3m, fg3a, ftm, fta, oreb, dreb, plus_minus, player_lines,
  -- a player's fault explains the sums that it breaks
  COALESCE(
    MIN(IF(line = 'player', line_fault, NULL)) OVER (PARTITION BY game_date, game_id),
    MIN(line_fault) OVER (PARTITION BY game_date, game_id)
  ) AS fault
FROM judged;

-- One row: a game of the snapshot that the run of schedule_date took.
CREATE TABLE IF NOT EXISTS nba_raw.raw_schedule (
  schedule_date DATE NOT NULL, game_date DATE, game_id STRING, game_status STRING,
  season STRING, season_type STRING, tipoff_et STRING,
  home_team_id STRING, home_team STRING, home_name STRING,
  away_team_id STRING, away_team STRING, away_name STRING,
  home_pts INT64, away_pts INT64, winner STRING, arena STRING, attendance INT64, player_rows INT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY schedule_date CLUSTER BY game_id;

-- One row: a player who played in a finished, whole game.
CREATE TABLE IF NOT EXISTS nba_raw.player_boxscores (
  game_date DATE NOT NULL, game_id STRING, season STRING,
  player_id STRING, player_name STRING, team_id STRING, team STRING, opponent STRING, is_home BOOL,
  minutes INT64, pts INT64, reb INT64, ast INT64, stl INT64, blk INT64, tov INT64, pf INT64,
  fgm INT64, fga INT64, fg3m INT64, fg3a INT64, ftm INT64, fta INT64, oreb INT64, dreb INT64, plus_minus INT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY game_id, player_id;

-- One row: a team in a finished, whole game.
CREATE TABLE IF NOT EXISTS nba_raw.team_boxscores (
  game_date DATE NOT NULL, game_id STRING, season STRING,
  team_id STRING, team_name STRING, team STRING, opponent STRING, is_home BOOL,
  players_used INT64,
  minutes INT64, pts INT64, reb INT64, ast INT64, stl INT64, blk INT64, tov INT64, pf INT64,
  fgm INT64, fga INT64, fg3m INT64, fg3a INT64, ftm INT64, fta INT64, oreb INT64, dreb INT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY game_id, team;

-- One row: a team's attack in a game.
CREATE TABLE IF NOT EXISTS nba_analytics.team_offense_game_summary (
  game_date DATE NOT NULL, game_id STRING, season STRING,
  team STRING, opponent STRING, is_home BOOL, won BOOL,
  minutes INT64, pts INT64, reb INT64, ast INT64, stl INT64, blk INT64, tov INT64, pf INT64,
  fgm INT64, fga INT64, fg3m INT64, fg3a INT64, ftm INT64, fta INT64, oreb INT64, dreb INT64,
  possessions FLOAT64, opponent_possessions FLOAT64, pace FLOAT64, offensive_rating FLOAT64,
  ts_pct FLOAT64, efg_pct FLOAT64, tov_pct FLOAT64, orb_pct FLOAT64, ft_rate FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY game_id, team;

-- One row: a team's defence in a game: what it allowed.
CREATE TABLE IF NOT EXISTS nba_analytics.team_defense_game_summary (
  game_date DATE NOT NULL, game_id STRING, season STRING,
  team STRING, opponent STRING, is_home BOOL,
  allowed_pts INT64, allowed_pts_2pt INT64, allowed_pts_3pt INT64, allowed_pts_ft INT64,
  allowed_fg2a INT64, allowed_fg3a INT64, allowed_fta INT64, stl INT64, blk INT64, forced_tov INT64,
  possessions_against FLOAT64, defensive_rating FLOAT64, allowed_efg_pct FLOAT64, drb_pct FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY game_id, team;

-- One row: a player in a game.
CREATE TABLE IF NOT EXISTS nba_analytics.player_game_summary (
  game_date DATE NOT NULL, game_id STRING, season STRING,
  player_id STRING, player_name STRING, team STRING, opponent STRING, is_home BOOL, won BOOL,
  minutes INT64, pts INT64, reb INT64, ast INT64, stl INT64, blk INT64, tov INT64, pf INT64,
  fgm INT64, fga INT64, fg3m INT64, fg3a INT64, ftm INT64, fta INT64, oreb INT64, dreb INT64, plus_minus INT64,
  pts_2pt INT64, pts_3pt INT64, pts_ft INT64, usage_rate FLOAT64, ts_pct FLOAT64, efg_pct FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY game_id, player_id;

-- One row: a player expected in a game on as_of.
CREATE TABLE IF NOT EXISTS nba_analytics.upcoming_player_game_context (
  as_of DATE NOT NULL, game_id STRING, player_id STRING, player_name STRING,
  team STRING, opponent STRING, is_home BOOL, tipoff_et STRING,
  last_game_date DATE, rest_days INT64, is_back_to_back BOOL, games_last_7d INT64, team_games_missed INT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY game_id, player_id;

-- One row: a team in a game on as_of.
CREATE TABLE IF NOT EXISTS nba_analytics.upcoming_team_game_context (
  as_of DATE NOT NULL, game_id STRING, team STRING, opponent STRING, is_home BOOL, tipoff_et STRING,
  games INT64, last_game_date DATE, rest_days INT64, is_back_to_back BOOL, games_last_7d INT64,
  offensive_rating_last5 FLOAT64, defensive_rating_last5 FLOAT64, net_rating_last5 FLOAT64, pace_last5 FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY game_id, team;

-- One row: a team's defence by zone over its last 15 games; relative 1.0 is the league's, more is weaker.
CREATE TABLE IF NOT EXISTS nba_precompute.team_defense_zone_analysis (
  as_of DATE NOT NULL, team STRING, games INT64,
  pts_2pt_per_100 FLOAT64, pts_3pt_per_100 FLOAT64, pts_ft_per_100 FLOAT64,
  relative_2pt FLOAT64, relative_3pt FLOAT64, relative_ft FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY team;

-- One row: where a player's points came from in his last 10 games.
CREATE TABLE IF NOT EXISTS nba_precompute.player_shot_zone_analysis (
  as_of DATE NOT NULL, player_id STRING, games INT64, pts INT64,
  share_pts_2pt FLOAT64, share_pts_3pt FLOAT64, share_pts_ft FLOAT64,
  share_attempts_2pt FLOAT64, share_attempts_3pt FLOAT64, share_attempts_ft FLOAT64,
  pct_2pt FLOAT64, pct_3pt FLOAT64, pct_ft FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY player_id;

-- One row: an active player's form before as_of.
CREATE TABLE IF NOT EXISTS nba_precompute.player_daily_cache (
  as_of DATE NOT NULL, player_id STRING, player_name STRING, team STRING, games INT64, last_game_date DATE,
  pts_last5 FLOAT64, pts_last10 FLOAT64, pts_season FLOAT64, pts_std_last10 FLOAT64, pts_std_season FLOAT64,
  minutes_last5 FLOAT64, minutes_last10 FLOAT64, minutes_season FLOAT64, usage_last10 FLOAT64, ts_last10 FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY player_id;

-- One row: what the opponent, the rest and the pace do to an expected player; 1.0 is nothing, null is unknown.
CREATE TABLE IF NOT EXISTS nba_precompute.player_composite_factors (
  as_of DATE NOT NULL, game_id STRING, player_id STRING, team STRING, opponent STRING,
  matchup_factor FLOAT64, rest_factor FLOAT64, pace_factor FLOAT64, composite_factor FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY player_id;

-- One row: the features of an expected player; a feature whose input is missing is null and counted.
CREATE TABLE IF NOT EXISTS nba_precompute.ml_feature_store (
  as_of DATE NOT NULL, game_id STRING, player_id STRING, player_name STRING, team STRING, opponent STRING,
  pts_last5 FLOAT64, pts_last10 FLOAT64, pts_season FLOAT64, pts_std_last10 FLOAT64,
  minutes_last5 FLOAT64, minutes_last10 FLOAT64, usage_last10 FLOAT64, ts_last10 FLOAT64, share_pts_3pt FLOAT64,
  games INT64, rest_days INT64, games_last_7d INT64, is_home INT64,
  matchup_factor FLOAT64, rest_factor FLOAT64, pace_factor FLOAT64,
  features_present INT64, features_total INT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY as_of CLUSTER BY game_id, player_id;

-- One row: what a run predicted of a player in a game by one system; interval low to high.
CREATE TABLE IF NOT EXISTS nba_predictions.predictions (
  game_date DATE NOT NULL, game_id STRING, player_id STRING, system STRING,
  value FLOAT64, low FLOAT64, high FLOAT64, completeness FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY run, player_id;

-- One row: the prediction that counts. All systems of a player come from one run: same_day before tomorrow, by fence.
CREATE OR REPLACE VIEW nba_predictions.current AS
SELECT
  game_date, game_id, player_id, system, value, low, high, completeness, run, attempt, fence,
  inputs_completeness, inputs_missing
FROM nba_predictions.predictions
WHERE TRUE
QUALIFY RANK() OVER (PARTITION BY game_date, game_id, player_id ORDER BY fence DESC, run DESC) = 1;

-- One row: a prediction and what happened. graded_run made it; run graded it.
CREATE TABLE IF NOT EXISTS nba_predictions.accuracy (
  game_date DATE NOT NULL, graded_run STRING, game_id STRING, player_id STRING, system STRING,
  value FLOAT64, low FLOAT64, high FLOAT64, actual FLOAT64, error FLOAT64, inside BOOL, completeness FLOAT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY game_date CLUSTER BY graded_run, player_id;
