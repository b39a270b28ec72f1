-- Why a landed game did not pass into player_boxscores and team_boxscores. One row is a game.
SELECT game_id AS unit, MIN(fault) AS why
FROM nba_raw.checked_lines
WHERE game_date BETWEEN @first AND @last AND fault IS NOT NULL
GROUP BY game_id
ORDER BY game_id
