-- Games on as_of of which no player can be expected, because neither team has played this season.
SELECT s.game_id AS unit, 'no history' AS why
FROM nba_raw.raw_schedule AS s
LEFT JOIN nba_raw.team_boxscores AS b
  ON b.team IN (s.home_team, s.away_team) AND b.game_date >= @season_first AND b.game_date < @as_of
WHERE s.schedule_date = @run_date AND s.game_date = @as_of
GROUP BY s.game_id
HAVING COUNT(b.game_id) = 0
ORDER BY unit
