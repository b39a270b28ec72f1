-- Where a team's defence is weak. One row is a team.
-- Input: nba_analytics.team_defense_game_summary, each team's last 15 games of this season before as_of.
-- points allowed in a zone per 100 possessions = 100 x sum of points / sum of possessions (Kubatko et al. 2007);
--   relative = the team's over the league's in the same windows, 1.0 is average, more is weaker.
WITH games AS (
  SELECT team, allowed_pts_2pt, allowed_pts_3pt, allowed_pts_ft, possessions_against
  FROM nba_analytics.team_defense_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
  QUALIFY ROW_NUMBER() OVER (PARTITION BY team ORDER BY game_date DESC, game_id DESC) <= 15
),
league AS (
  SELECT
    SAFE_DIVIDE(100 * SUM(allowed_pts_2pt), SUM(possessions_against)) AS pts_2pt,
    SAFE_DIVIDE(100 * SUM(allowed_pts_3pt), SUM(possessions_against)) AS pts_3pt,
    SAFE_DIVIDE(100 * SUM(allowed_pts_ft), SUM(possessions_against)) AS pts_ft
  FROM games
),
teams AS (
  SELECT
    team,
    COUNT(*) AS games,
    SAFE_DIVIDE(100 * SUM(allowed_pts_2pt), SUM(possessions_against)) AS pts_2pt,
    SAFE_DIVIDE(100 * SUM(allowed_pts_3pt), SUM(possessions_against)) AS pts_3pt,
    SAFE_DIVIDE(100 * SUM(allowed_pts_ft), SUM(possessions_against)) AS pts_ft
  FROM games
  GROUP BY team
)
SELECT
  @as_of AS as_of, teams.team, teams.games,
  ROUND(teams.pts_2pt, 6) AS pts_2pt_per_100,
  ROUND(teams.pts_3pt, 6) AS pts_3pt_per_100,
  ROUND(teams.pts_ft, 6) AS pts_ft_per_100,
  ROUND(SAFE_DIVIDE(teams.pts_2pt, league.pts_2pt), 6) AS relative_2pt,
  ROUND(SAFE_DIVIDE(teams.pts_3pt, league.pts_3pt), 6) AS relative_3pt,
  ROUND(SAFE_DIVIDE(teams.pts_ft, league.pts_ft), 6) AS relative_ft
FROM teams
CROSS JOIN league
