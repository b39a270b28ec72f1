-- A player's game. One row is a player in a game.
-- Input: nba_raw.player_boxscores; team totals from nba_analytics.team_offense_game_summary.
-- usage = 100 (FGA + 0.44 FTA + TOV) (team MIN / 5) / (MIN (team FGA + 0.44 team FTA + team TOV)) (basketball-reference
--   glossary, after Kubatko et al. 2007); null for a player of 0 whole minutes
-- TS% = PTS / (2 (FGA + 0.44 FTA)), may exceed 1; eFG% = (FGM + 0.5 3PM) / FGA; null without an attempt
SELECT
  player.game_date, player.game_id, player.season, player.player_id, player.player_name,
  player.team, player.opponent, player.is_home, team.won,
  player.minutes, player.pts, player.reb, player.ast, player.stl, player.blk, player.tov, player.pf,
  player.fgm, player.fga, player.fg3m, player.fg3a, player.ftm, player.fta, player.oreb, player.dreb,
  player.plus_minus,
  2 * (player.fgm - player.fg3m) AS pts_2pt,
  3 * player.fg3m AS pts_3pt,
  player.ftm AS pts_ft,
  SAFE_DIVIDE(
    100 * (player.fga + 0.44 * player.fta + player.tov) * team.minutes / 5,
    player.minutes * (team.fga + 0.44 * team.fta + team.tov)
  ) AS usage_rate,
  SAFE_DIVIDE(player.pts, 2 * (player.fga + 0.44 * player.fta)) AS ts_pct,
  SAFE_DIVIDE(player.fgm + 0.5 * player.fg3m, player.fga) AS efg_pct
FROM nba_raw.player_boxscores AS player
JOIN nba_analytics.team_offense_game_summary AS team
  ON team.game_date = player.game_date AND team.game_id = player.game_id AND team.team = player.team
WHERE player.game_date BETWEEN @first AND @last AND team.game_date BETWEEN @first AND @last
