-- What cannot be true of what a day's results are made of. One row is a game of a processor with its fault.
-- Input: nba_analytics.player_game_summary, nba_analytics.team_offense_game_summary.
-- Zeroes as in nba.raw.sanity.sql.
WITH players AS (
  SELECT
    game_id,
    COUNT(*) AS lines,
    COUNTIF(player_id IS NULL OR team IS NULL OR minutes IS NULL OR pts IS NULL OR reb IS NULL) AS lacking,
    COUNTIF(pts <> pts_2pt + pts_3pt + pts_ft) AS pts_broken,
    COUNTIF(reb <> oreb + dreb) AS reb_broken,
    COUNTIF(minutes > 0) AS played,
    COUNTIF(minutes > 0 AND pts + reb + ast + stl + blk + tov + fga + fta = 0) AS zeroes,
    SUM(pts) AS pts
  FROM nba_analytics.player_game_summary
  WHERE game_date = @day
  GROUP BY game_id
),
teams AS (
  SELECT
    game_id,
    COUNT(*) AS lines,
    COUNTIF(team IS NULL OR minutes IS NULL OR pts IS NULL OR reb IS NULL OR offensive_rating IS NULL) AS lacking,
    COUNTIF(reb <> oreb + dreb) AS reb_broken,
    SUM(pts) AS pts
  FROM nba_analytics.team_offense_game_summary
  WHERE game_date = @day
  GROUP BY game_id
),
judged AS (
  SELECT 'player_game_summary' AS processor, players.game_id AS unit, CASE
    WHEN players.lacking > 0 THEN
      CONCAT(CAST(players.lacking AS STRING), ' of ', CAST(players.lines AS STRING), ' lines lack a key column')
    WHEN players.pts_broken > 0 THEN CONCAT('pts identity broken in ', CAST(players.pts_broken AS STRING), ' lines')
    WHEN players.reb_broken > 0 THEN CONCAT('reb identity broken in ', CAST(players.reb_broken AS STRING), ' lines')
    WHEN 2 * players.zeroes > players.played OR players.played = 0 THEN CONCAT(
      CAST(players.zeroes AS STRING), ' of ', CAST(players.played AS STRING), ' who played have nothing but zeroes')
    WHEN teams.lacking = 0 AND players.pts <> teams.pts THEN CONCAT(
      'players sum to ', CAST(players.pts AS STRING), ' points, their teams to ', CAST(teams.pts AS STRING))
  END AS fault
  FROM players
  LEFT JOIN teams ON teams.game_id = players.game_id
  UNION ALL
  SELECT 'team_offense_game_summary' AS processor, game_id AS unit, CASE
    WHEN lacking > 0 THEN CONCAT(CAST(lacking AS STRING), ' of ', CAST(lines AS STRING), ' lines lack a key column')
    WHEN reb_broken > 0 THEN CONCAT('reb identity broken in ', CAST(reb_broken AS STRING), ' lines')
  END AS fault
  FROM teams
)
SELECT processor, unit, fault
FROM judged
WHERE fault IS NOT NULL
ORDER BY processor, unit
