-- Results of a date for publication. One row is a player in a game; the game's columns repeat.
-- Input: nba_analytics.player_game_summary and team_offense_game_summary. Home team first, then by minutes.
SELECT
  player.game_id,
  home.team AS home, away.team AS away, home.pts AS home_pts, away.pts AS away_pts,
  player.player_id, player.player_name, player.team,
  player.minutes, player.pts, player.reb, player.ast, player.stl, player.blk, player.tov,
  ROUND(player.usage_rate, 1) AS usage_rate,
  ROUND(player.ts_pct, 3) AS ts_pct,
  ROUND(player.efg_pct, 3) AS efg_pct
FROM nba_analytics.player_game_summary AS player
JOIN nba_analytics.team_offense_game_summary AS home
  ON home.game_date = player.game_date AND home.game_id = player.game_id AND home.is_home
JOIN nba_analytics.team_offense_game_summary AS away
  ON away.game_date = player.game_date AND away.game_id = player.game_id AND NOT away.is_home
WHERE player.game_date = @first AND home.game_date = @first AND away.game_date = @first
ORDER BY player.game_id, player.is_home DESC, player.minutes DESC, player.pts DESC, player.player_id
