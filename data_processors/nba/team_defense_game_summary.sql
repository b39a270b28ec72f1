-- A team's defence: what it allowed. One row is a team in a game.
-- Input: nba_raw.team_boxscores, own and opponent's line.
-- defensive rating = 100 x points allowed / the opponent's possessions, so it equals the opponent's offensive rating
--   (Kubatko, Oliver, Pelton, Rosenbaum 2007); DRB% = DREB / (DREB + opponent's OREB) (Oliver, "Basketball on Paper")
-- Zones, with the data at hand: 2-point, 3-point, free throw.
WITH games AS (
  SELECT
    own.game_date, own.game_id, own.season, own.team, own.opponent, own.is_home, own.stl, own.blk, own.dreb,
    opp.pts AS allowed_pts,
    2 * (opp.fgm - opp.fg3m) AS allowed_pts_2pt,
    3 * opp.fg3m AS allowed_pts_3pt,
    opp.ftm AS allowed_pts_ft,
    opp.fga - opp.fg3a AS allowed_fg2a,
    opp.fg3a AS allowed_fg3a,
    opp.fta AS allowed_fta,
    opp.tov AS forced_tov,
    opp.fgm + 0.5 * opp.fg3m AS allowed_effective_fgm,
    opp.fga AS allowed_fga,
    opp.oreb AS opponent_oreb,
    opp.fga - opp.oreb + opp.tov + 0.44 * opp.fta AS possessions_against
  FROM nba_raw.team_boxscores AS own
  JOIN nba_raw.team_boxscores AS opp
    ON opp.game_date = own.game_date AND opp.game_id = own.game_id AND opp.team = own.opponent
  WHERE own.game_date BETWEEN @first AND @last AND opp.game_date BETWEEN @first AND @last
)
SELECT
  * EXCEPT (dreb, allowed_effective_fgm, allowed_fga, opponent_oreb),
  SAFE_DIVIDE(100 * allowed_pts, possessions_against) AS defensive_rating,
  SAFE_DIVIDE(allowed_effective_fgm, allowed_fga) AS allowed_efg_pct,
  SAFE_DIVIDE(dreb, dreb + opponent_oreb) AS drb_pct
FROM games
