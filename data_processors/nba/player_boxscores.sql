-- Player lines of whole games, typed. One row is a player who played in a game.
-- Input: nba_raw.checked_lines (over nba_scrape.boxscores), which says what a whole game is.
SELECT
  game_date, game_id, season, player_id, player_name, team_id, team, opponent, is_home,
  minutes, pts, reb, ast, stl, blk, tov, pf,
  fgm, fga, fg3m, fg3a, ftm, fta, oreb, dreb, plus_minus
FROM nba_raw.checked_lines
WHERE game_date BETWEEN @first AND @last AND line = 'player' AND fault IS NULL
