-- The schedule, typed. One row is a game of the snapshot that the run of schedule_date took.
-- Input: nba_scrape.schedule. A game is final when both scores are known.
SELECT
  schedule_date,
  game_date,
  game_id,
  IF(
    SAFE_CAST(JSON_VALUE(payload, '$.home_pts') AS INT64) IS NOT NULL
    AND SAFE_CAST(JSON_VALUE(payload, '$.away_pts') AS INT64) IS NOT NULL,
    'final', 'scheduled'
  ) AS game_status,
  JSON_VALUE(payload, '$.season') AS season,
  JSON_VALUE(payload, '$.season_type') AS season_type,
  JSON_VALUE(payload, '$.tipoff_et') AS tipoff_et,
  JSON_VALUE(payload, '$.home_team_id') AS home_team_id,
  JSON_VALUE(payload, '$.home_team') AS home_team,
  JSON_VALUE(payload, '$.home_name') AS home_name,
  JSON_VALUE(payload, '$.away_team_id') AS away_team_id,
  JSON_VALUE(payload, '$.away_team') AS away_team,
  JSON_VALUE(payload, '$.away_name') AS away_name,
  SAFE_CAST(JSON_VALUE(payload, '$.home_pts') AS INT64) AS home_pts,
  SAFE_CAST(JSON_VALUE(payload, '$.away_pts') AS INT64) AS away_pts,
  JSON_VALUE(payload, '$.winner') AS winner,
  JSON_VALUE(payload, '$.arena') AS arena,
  SAFE_CAST(JSON_VALUE(payload, '$.attendance') AS INT64) AS attendance,
  SAFE_CAST(JSON_VALUE(payload, '$.player_rows') AS INT64) AS player_rows
FROM nba_scrape.schedule
WHERE schedule_date BETWEEN @first AND @last
  AND JSON_VALUE(payload, '$.home_team') IS NOT NULL
  AND JSON_VALUE(payload, '$.away_team') IS NOT NULL
