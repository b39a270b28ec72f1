-- A player's form. One row is an active player: his last game was one of the last five of the team he played it for.
-- Input: nba_analytics.player_game_summary and team_offense_game_summary of this season before as_of.
-- means over the last 5, the last 10 and all games; sample standard deviation of points, null below two games; usage
--   and TS% over the last 10 as one (sums over sums; usage weighted by minutes), not means of ratios.
WITH team_games AS (
  SELECT team, game_id
  FROM nba_analytics.team_offense_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
  QUALIFY ROW_NUMBER() OVER (PARTITION BY team ORDER BY game_date DESC, game_id DESC) <= 5
),
player_games AS (
  SELECT
    player_id, player_name, team, game_id, game_date, minutes, pts, fga, fta, usage_rate,
    ROW_NUMBER() OVER (PARTITION BY player_id ORDER BY game_date DESC, game_id DESC) AS games_ago
  FROM nba_analytics.player_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
),
active AS (
  SELECT player.player_id, player.player_name, player.team, player.game_date
  FROM player_games AS player
  JOIN team_games ON team_games.team = player.team AND team_games.game_id = player.game_id
  WHERE player.games_ago = 1
),
form AS (
  SELECT
    player_id,
    COUNT(*) AS games,
    AVG(IF(games_ago <= 5, pts, NULL)) AS pts_last5,
    AVG(IF(games_ago <= 10, pts, NULL)) AS pts_last10,
    AVG(pts) AS pts_season,
    STDDEV_SAMP(IF(games_ago <= 10, pts, NULL)) AS pts_std_last10,
    STDDEV_SAMP(pts) AS pts_std_season,
    AVG(IF(games_ago <= 5, minutes, NULL)) AS minutes_last5,
    AVG(IF(games_ago <= 10, minutes, NULL)) AS minutes_last10,
    AVG(minutes) AS minutes_season,
    SAFE_DIVIDE(
      SUM(IF(games_ago <= 10, usage_rate * minutes, NULL)), SUM(IF(games_ago <= 10, minutes, 0))
    ) AS usage_last10,
    SAFE_DIVIDE(
      SUM(IF(games_ago <= 10, pts, 0)), 2 * (SUM(IF(games_ago <= 10, fga + 0.44 * fta, 0)))
    ) AS ts_last10
  FROM player_games
  GROUP BY player_id
)
SELECT
  @as_of AS as_of, active.player_id, active.player_name, active.team, form.games, active.game_date AS last_game_date,
  ROUND(form.pts_last5, 6) AS pts_last5,
  ROUND(form.pts_last10, 6) AS pts_last10,
  ROUND(form.pts_season, 6) AS pts_season,
  ROUND(form.pts_std_last10, 6) AS pts_std_last10,
  ROUND(form.pts_std_season, 6) AS pts_std_season,
  ROUND(form.minutes_last5, 6) AS minutes_last5,
  ROUND(form.minutes_last10, 6) AS minutes_last10,
  ROUND(form.minutes_season, 6) AS minutes_season,
  ROUND(form.usage_last10, 6) AS usage_last10,
  ROUND(form.ts_last10, 6) AS ts_last10
FROM active
JOIN form ON form.player_id = active.player_id
