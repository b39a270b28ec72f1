-- What the predictions learn from: the games of this season before as_of, each with what was known on its morning.
-- One row is a player in a game who had played before this season; pts is what he scored.
-- Input: nba_analytics.player_game_summary, team_offense_game_summary and team_defense_game_summary, this season before
--   as_of. Not nba_precompute: its partitions depend on which runs were made, and history alone has none.
-- Formulas: those of player_daily_cache, player_shot_zone_analysis, team_defense_zone_analysis and
--   player_composite_factors, each as of the game's own date, so every frame ends one game before. The league's last 15
--   games of each team, as of a date, are the sum over all games before it of what each game changed in its team's 15.
-- Columns are named, and rounded, as in units.sql; a test holds them against what the feature store served.
WITH offence AS (
  SELECT
    game_date, game_id, team, pts, possessions,
    LEAST(DATE_DIFF(game_date, LAG(game_date) OVER (PARTITION BY team ORDER BY game_date, game_id), DAY) - 1, 3) AS rest,
    SUM(possessions + opponent_possessions) OVER before15 AS paced_before,
    SUM(possessions + opponent_possessions) OVER with15 AS paced_with,
    SUM(minutes) OVER before15 AS minutes_before,
    SUM(minutes) OVER with15 AS minutes_with
  FROM nba_analytics.team_offense_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
  WINDOW
    before15 AS (PARTITION BY team ORDER BY game_date, game_id ROWS BETWEEN 15 PRECEDING AND 1 PRECEDING),
    with15 AS (PARTITION BY team ORDER BY game_date, game_id ROWS BETWEEN 14 PRECEDING AND CURRENT ROW)
),
offence_days AS (
  SELECT
    game_date,
    SUM(paced_with - COALESCE(paced_before, 0)) AS paced,
    SUM(minutes_with - COALESCE(minutes_before, 0)) AS minutes,
    SUM(IF(rest >= 0, pts, 0)) AS pts, SUM(IF(rest >= 0, possessions, 0)) AS possessions,
    SUM(IF(rest = 0, pts, 0)) AS pts_0, SUM(IF(rest = 0, possessions, 0)) AS possessions_0,
    SUM(IF(rest = 1, pts, 0)) AS pts_1, SUM(IF(rest = 1, possessions, 0)) AS possessions_1,
    SUM(IF(rest = 2, pts, 0)) AS pts_2, SUM(IF(rest = 2, possessions, 0)) AS possessions_2,
    SUM(IF(rest = 3, pts, 0)) AS pts_3, SUM(IF(rest = 3, possessions, 0)) AS possessions_3
  FROM offence
  GROUP BY game_date
),
league_offence AS (
  SELECT
    game_date,
    SAFE_DIVIDE(SUM(paced) OVER earlier, SUM(minutes) OVER earlier) AS pace,
    SAFE_DIVIDE(SUM(pts) OVER earlier, SUM(possessions) OVER earlier) AS any_rest,
    SAFE_DIVIDE(SUM(pts_0) OVER earlier, SUM(possessions_0) OVER earlier) AS rest_0,
    SAFE_DIVIDE(SUM(pts_1) OVER earlier, SUM(possessions_1) OVER earlier) AS rest_1,
    SAFE_DIVIDE(SUM(pts_2) OVER earlier, SUM(possessions_2) OVER earlier) AS rest_2,
    SAFE_DIVIDE(SUM(pts_3) OVER earlier, SUM(possessions_3) OVER earlier) AS rest_3
  FROM offence_days
  WINDOW earlier AS (ORDER BY game_date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
defence AS (
  SELECT
    game_date, game_id, team,
    SUM(allowed_pts_2pt) OVER before15 AS pts_2pt_before,
    SUM(allowed_pts_2pt) OVER with15 AS pts_2pt_with,
    SUM(allowed_pts_3pt) OVER before15 AS pts_3pt_before,
    SUM(allowed_pts_3pt) OVER with15 AS pts_3pt_with,
    SUM(allowed_pts_ft) OVER before15 AS pts_ft_before,
    SUM(allowed_pts_ft) OVER with15 AS pts_ft_with,
    SUM(possessions_against) OVER before15 AS possessions_before,
    SUM(possessions_against) OVER with15 AS possessions_with
  FROM nba_analytics.team_defense_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
  WINDOW
    before15 AS (PARTITION BY team ORDER BY game_date, game_id ROWS BETWEEN 15 PRECEDING AND 1 PRECEDING),
    with15 AS (PARTITION BY team ORDER BY game_date, game_id ROWS BETWEEN 14 PRECEDING AND CURRENT ROW)
),
defence_days AS (
  SELECT
    game_date,
    SUM(pts_2pt_with - COALESCE(pts_2pt_before, 0)) AS pts_2pt,
    SUM(pts_3pt_with - COALESCE(pts_3pt_before, 0)) AS pts_3pt,
    SUM(pts_ft_with - COALESCE(pts_ft_before, 0)) AS pts_ft,
    SUM(possessions_with - COALESCE(possessions_before, 0)) AS possessions
  FROM defence
  GROUP BY game_date
),
league_defence AS (
  SELECT
    game_date,
    SAFE_DIVIDE(SUM(pts_2pt) OVER earlier, SUM(possessions) OVER earlier) AS pts_2pt,
    SAFE_DIVIDE(SUM(pts_3pt) OVER earlier, SUM(possessions) OVER earlier) AS pts_3pt,
    SAFE_DIVIDE(SUM(pts_ft) OVER earlier, SUM(possessions) OVER earlier) AS pts_ft
  FROM defence_days
  WINDOW earlier AS (ORDER BY game_date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
paces AS (
  SELECT
    team.game_date, team.game_id, team.team,
    SAFE_DIVIDE(SAFE_DIVIDE(team.paced_before, team.minutes_before), league.pace) AS pace_factor,
    SAFE_DIVIDE(league.rest_0, league.any_rest) AS rest_0,
    SAFE_DIVIDE(league.rest_1, league.any_rest) AS rest_1,
    SAFE_DIVIDE(league.rest_2, league.any_rest) AS rest_2,
    SAFE_DIVIDE(league.rest_3, league.any_rest) AS rest_3
  FROM offence AS team
  JOIN league_offence AS league ON league.game_date = team.game_date
),
zones AS (
  SELECT
    team.game_date, team.game_id, team.team,
    ROUND(SAFE_DIVIDE(SAFE_DIVIDE(team.pts_2pt_before, team.possessions_before), league.pts_2pt), 6) AS relative_2pt,
    ROUND(SAFE_DIVIDE(SAFE_DIVIDE(team.pts_3pt_before, team.possessions_before), league.pts_3pt), 6) AS relative_3pt,
    ROUND(SAFE_DIVIDE(SAFE_DIVIDE(team.pts_ft_before, team.possessions_before), league.pts_ft), 6) AS relative_ft
  FROM defence AS team
  JOIN league_defence AS league ON league.game_date = team.game_date
),
players AS (
  SELECT
    game_date, game_id, player_id, opponent, is_home, pts,
    COUNT(*) OVER earlier AS games,
    DATE_DIFF(game_date, LAG(game_date) OVER (PARTITION BY player_id ORDER BY game_date, game_id), DAY) - 1 AS rest_days,
    AVG(pts) OVER last5 AS pts_last5,
    AVG(pts) OVER earlier AS pts_season,
    AVG(minutes) OVER last5 AS minutes_last5,
    AVG(minutes) OVER last10 AS minutes_last10,
    SUM(fga + 0.44 * fta) OVER last10 AS attempts,
    SUM(pts) OVER last10 AS pts_10,
    SUM(pts_2pt) OVER last10 AS pts_2pt,
    SUM(pts_3pt) OVER last10 AS pts_3pt
  FROM nba_analytics.player_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
  WINDOW
    earlier AS (PARTITION BY player_id ORDER BY game_date, game_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
    last10 AS (PARTITION BY player_id ORDER BY game_date, game_id ROWS BETWEEN 10 PRECEDING AND 1 PRECEDING),
    last5 AS (PARTITION BY player_id ORDER BY game_date, game_id ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING)
)
SELECT
  player.game_date, player.player_id, player.pts,
  ROUND(player.pts_last5, 6) AS pts_last5,
  ROUND(SAFE_DIVIDE(player.pts_10, LEAST(player.games, 10)), 6) AS pts_last10,
  ROUND(player.pts_season, 6) AS pts_season,
  ROUND(player.minutes_last5, 6) AS minutes_last5,
  ROUND(player.minutes_last10, 6) AS minutes_last10,
  ROUND(SAFE_DIVIDE(player.pts_10, 2 * player.attempts), 6) AS ts_last10,
  player.games,
  IF(player.is_home, 1, 0) AS is_home,
  ROUND(
    ROUND(SAFE_DIVIDE(player.pts_2pt, player.pts_10), 6) * zone.relative_2pt
      + ROUND(SAFE_DIVIDE(player.pts_3pt, player.pts_10), 6) * zone.relative_3pt
      + ROUND(SAFE_DIVIDE(player.pts_10 - player.pts_2pt - player.pts_3pt, player.pts_10), 6) * zone.relative_ft,
    6
  ) AS matchup_factor,
  ROUND(
    CASE player.rest_days WHEN 0 THEN pace.rest_0 WHEN 1 THEN pace.rest_1 WHEN 2 THEN pace.rest_2 ELSE pace.rest_3 END,
    6
  ) AS rest_factor,
  ROUND(pace.pace_factor, 6) AS pace_factor
FROM players AS player
LEFT JOIN paces AS pace
  ON pace.game_date = player.game_date AND pace.game_id = player.game_id AND pace.team = player.opponent
LEFT JOIN zones AS zone
  ON zone.game_date = player.game_date AND zone.game_id = player.game_id AND zone.team = player.opponent
WHERE player.games > 0
ORDER BY player.game_date, player.player_id
