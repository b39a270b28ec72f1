-- The dates of a span whose last history table is there.
SELECT DISTINCT game_date
FROM nba_analytics.player_game_summary
WHERE game_date BETWEEN @first AND @last
ORDER BY game_date
