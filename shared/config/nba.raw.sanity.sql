-- What cannot be true of the raw box scores of a day as they stand. One row is a game of a processor with its fault.
-- Input: nba_raw.player_boxscores, nba_raw.team_boxscores. What came was checked before it was written
--   (nba_raw.checked_lines); this looks at what stands, whoever wrote it.
-- In four games of a hundred a fifth of those who played have nothing but minutes, never more: a half is no game.
WITH players AS (
  SELECT
    game_id,
    COUNT(*) AS lines,
    COUNTIF(player_id IS NULL OR team IS NULL OR minutes IS NULL OR pts IS NULL OR reb IS NULL) AS lacking,
    COUNTIF(pts <> 2 * (fgm - fg3m) + 3 * fg3m + ftm) AS pts_broken,
    COUNTIF(reb <> oreb + dreb) AS reb_broken,
    COUNTIF(minutes > 0) AS played,
    COUNTIF(minutes > 0 AND pts + reb + ast + stl + blk + tov + fga + fta = 0) AS zeroes
  FROM nba_raw.player_boxscores
  WHERE game_date = @day
  GROUP BY game_id
),
teams AS (
  SELECT
    game_id,
    COUNT(*) AS lines,
    COUNTIF(team IS NULL OR minutes IS NULL OR pts IS NULL OR reb IS NULL) AS lacking,
    COUNTIF(pts <> 2 * (fgm - fg3m) + 3 * fg3m + ftm) AS pts_broken,
    COUNTIF(reb <> oreb + dreb) AS reb_broken
  FROM nba_raw.team_boxscores
  WHERE game_date = @day
  GROUP BY game_id
),
judged AS (
  SELECT 'player_boxscores' AS processor, game_id AS unit, CASE
    WHEN lacking > 0 THEN CONCAT(CAST(lacking AS STRING), ' of ', CAST(lines AS STRING), ' lines lack a key column')
    WHEN pts_broken > 0 THEN CONCAT('pts identity broken in ', CAST(pts_broken AS STRING), ' lines')
    WHEN reb_broken > 0 THEN CONCAT('reb identity broken in ', CAST(reb_broken AS STRING), ' lines')
    WHEN 2 * zeroes > played OR played = 0 THEN
      CONCAT(CAST(zeroes AS STRING), ' of ', CAST(played AS STRING), ' who played have nothing but zeroes')
  END AS fault
  FROM players
  UNION ALL
  SELECT 'team_boxscores' AS processor, game_id AS unit, CASE
    WHEN lacking > 0 THEN CONCAT(CAST(lacking AS STRING), ' of ', CAST(lines AS STRING), ' lines lack a key column')
    WHEN pts_broken > 0 THEN CONCAT('pts identity broken in ', CAST(pts_broken AS STRING), ' lines')
    WHEN reb_broken > 0 THEN CONCAT('reb identity broken in ', CAST(reb_broken AS STRING), ' lines')
  END AS fault
  FROM teams
)
SELECT processor, unit, fault
FROM judged
WHERE fault IS NOT NULL
ORDER BY processor, unit
