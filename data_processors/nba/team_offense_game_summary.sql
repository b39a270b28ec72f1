-- A team's attack. One row is a team in a game.
-- Input: nba_raw.team_boxscores, own and opponent's line.
-- possessions = FGA - OREB + TOV + 0.44 FTA; ratings per 100 possessions (Kubatko, Oliver, Pelton, Rosenbaum 2007,
--   "A Starting Point for Analyzing Basketball Statistics", JQAS 3(3))
-- pace per 48 = 48 (possessions + opponent's) / (2 (team MIN / 5)) (basketball-reference glossary). Minutes are whole
--   in the data and do not sum exactly to 240, so pace is good to about one percent.
-- TS% = PTS / (2 (FGA + 0.44 FTA)), may exceed 1; eFG% = (FGM + 0.5 3PM) / FGA (basketball-reference glossary)
-- Four factors besides eFG% (Oliver, "Basketball on Paper"; as in Kubatko et al.): TOV% = TOV / (FGA + 0.44 FTA + TOV),
--   ORB% = OREB / (OREB + opponent's DREB), FT rate = FTM / FGA. All shares are 0 to 1.
WITH games AS (
  SELECT
    own.game_date, own.game_id, own.season, own.team, own.opponent, own.is_home,
    own.minutes, own.pts, own.reb, own.ast, own.stl, own.blk, own.tov, own.pf,
    own.fgm, own.fga, own.fg3m, own.fg3a, own.ftm, own.fta, own.oreb, own.dreb,
    own.pts > opp.pts AS won,
    opp.dreb AS opponent_dreb,
    own.fga - own.oreb + own.tov + 0.44 * own.fta AS possessions,
    opp.fga - opp.oreb + opp.tov + 0.44 * opp.fta AS opponent_possessions
  FROM nba_raw.team_boxscores AS own
  JOIN nba_raw.team_boxscores AS opp
    ON opp.game_date = own.game_date AND opp.game_id = own.game_id AND opp.team = own.opponent
  WHERE own.game_date BETWEEN @first AND @last AND opp.game_date BETWEEN @first AND @last
)
SELECT
  * EXCEPT (opponent_dreb),
  SAFE_DIVIDE(48 * (possessions + opponent_possessions), 2 * minutes / 5) AS pace,
  SAFE_DIVIDE(100 * pts, possessions) AS offensive_rating,
  SAFE_DIVIDE(pts, 2 * (fga + 0.44 * fta)) AS ts_pct,
  SAFE_DIVIDE(fgm + 0.5 * fg3m, fga) AS efg_pct,
  SAFE_DIVIDE(tov, fga + 0.44 * fta + tov) AS tov_pct,
  SAFE_DIVIDE(oreb, oreb + opponent_dreb) AS orb_pct,
  SAFE_DIVIDE(ftm, fga) AS ft_rate
FROM games
