-- What the schedule found: the games of the run's date, and those of the date the as_of tables look at.
SELECT 'games' AS expectation, game_id AS unit
FROM nba_scrape.schedule
WHERE schedule_date = @run_date AND game_date = @run_date
UNION ALL
SELECT 'next_games' AS expectation, game_id AS unit
FROM nba_scrape.schedule
WHERE schedule_date = @run_date AND game_date = @as_of
ORDER BY expectation, unit
