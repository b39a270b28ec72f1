-- How many games this season were played before as_of: none means that nothing can be said yet.
SELECT COUNT(DISTINCT game_id) AS games
FROM nba_raw.team_boxscores
WHERE game_date >= @season_first AND game_date < @as_of
