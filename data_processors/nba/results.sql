-- Results of a date for publication. One row is a player in a game; the game's columns repeat.
-- Input: nba_analytics.player_game_summary and team_offense_game_summary; nba_predictions.accuracy, whose columns are
--   null of a player who was not predicted: what the ensemble said, and how far off it was. Home team first, then by
--   minutes.
SELECT
  player.game_id,
  home.team AS home, away.team AS away, home.pts AS home_pts, away.pts AS away_pts,
  player.player_id, player.player_name, player.team,
  player.minutes, player.pts, player.reb, player.ast, player.stl, player.blk, player.tov,
  ROUND(player.usage_rate, 1) AS usage_rate,
  ROUND(player.ts_pct, 3) AS ts_pct,
  ROUND(player.efg_pct, 3) AS efg_pct,
  ROUND(graded.value, 2) AS predicted,
  ROUND(graded.low, 2) AS low,
  ROUND(graded.high, 2) AS high,
  ROUND(ROUND(graded.value, 2) - graded.actual, 2) AS error
FROM nba_analytics.player_game_summary AS player
JOIN nba_analytics.team_offense_game_summary AS home
  ON home.game_date = player.game_date AND home.game_id = player.game_id AND home.is_home
JOIN nba_analytics.team_offense_game_summary AS away
  ON away.game_date = player.game_date AND away.game_id = player.game_id AND NOT away.is_home
LEFT JOIN nba_predictions.accuracy AS graded
  ON graded.game_date = @first AND graded.game_id = player.game_id AND graded.player_id = player.player_id
  AND graded.system = 'ensemble'
WHERE player.game_date = @first AND home.game_date = @first AND away.game_date = @first
ORDER BY player.game_id, player.is_home DESC, player.minutes DESC, player.pts DESC, player.player_id
