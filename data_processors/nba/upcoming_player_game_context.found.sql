-- What the players' context found: the players who are expected on as_of.
SELECT DISTINCT 'players' AS expectation, player_id AS unit
FROM nba_analytics.upcoming_player_game_context
WHERE as_of = @as_of
ORDER BY unit
