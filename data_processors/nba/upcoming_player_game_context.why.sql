-- Games on as_of of which no player can be expected, because neither team has played this season.
WITH meetings AS (
  SELECT game_id, home_team AS team
  FROM nba_raw.raw_schedule
  WHERE schedule_date = @run_date AND game_date = @as_of
  UNION ALL
  SELECT game_id, away_team AS team
  FROM nba_raw.raw_schedule
  WHERE schedule_date = @run_date AND game_date = @as_of
)
SELECT meeting.game_id AS unit, 'no history' AS why
FROM meetings AS meeting
LEFT JOIN nba_raw.team_boxscores AS played
  ON played.team = meeting.team AND played.game_date >= @season_first AND played.game_date < @as_of
GROUP BY meeting.game_id
HAVING COUNT(played.game_id) = 0
ORDER BY unit
