-- Team lines of whole games, typed. One row is a team in a game.
-- Input: nba_raw.checked_lines (over nba_scrape.boxscores); players_used is counted again, not believed.
SELECT
  game_date, game_id, season, team_id, team_name, team, opponent, is_home,
  COUNT(IF(line = 'player', 1, NULL)) OVER (PARTITION BY game_date, game_id, team) AS players_used,
  minutes, pts, reb, ast, stl, blk, tov, pf,
  fgm, fga, fg3m, fg3a, ftm, fta, oreb, dreb
FROM nba_raw.checked_lines
WHERE game_date BETWEEN @first AND @last AND line IN ('player', 'team') AND fault IS NULL
QUALIFY line = 'team'
