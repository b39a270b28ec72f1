-- What the opponent, the rest and the pace do to an expected player. One row is a player in a game on as_of.
-- Input: nba_analytics.upcoming_player_game_context; nba_precompute.player_shot_zone_analysis and
--   team_defense_zone_analysis of this as_of; nba_analytics.team_offense_game_summary of this season before as_of.
-- matchup = sum over zones of the player's share of points x the opponent's relative defence there
-- rest    = teams' points per 100 possessions after so many free days (3 and more as one) / after any
-- pace    = the opponent's pace over its last 15 games / the league's: expected pace = own x opponent's / league's
--   (Oliver, "Basketball on Paper"), over own
-- composite = their product. Each is null where an input is missing; 1.0 changes nothing.
WITH team_games AS (
  SELECT
    team, game_date, minutes, pts, possessions, opponent_possessions,
    ROW_NUMBER() OVER (PARTITION BY team ORDER BY game_date DESC, game_id DESC) AS games_ago,
    LEAST(DATE_DIFF(game_date, LAG(game_date) OVER (PARTITION BY team ORDER BY game_date, game_id), DAY) - 1, 3) AS rest
  FROM nba_analytics.team_offense_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
),
league AS (
  SELECT
    SAFE_DIVIDE(SUM(IF(rest IS NOT NULL, pts, 0)), SUM(IF(rest IS NOT NULL, possessions, 0))) AS pts_per_possession,
    SAFE_DIVIDE(
      SUM(IF(games_ago <= 15, possessions + opponent_possessions, 0)), SUM(IF(games_ago <= 15, minutes, 0))
    ) AS pace
  FROM team_games
),
rests AS (
  SELECT rest, SAFE_DIVIDE(SUM(pts), SUM(possessions)) AS pts_per_possession
  FROM team_games
  WHERE rest IS NOT NULL
  GROUP BY rest
),
paces AS (
  SELECT team, SAFE_DIVIDE(SUM(possessions + opponent_possessions), SUM(minutes)) AS pace
  FROM team_games
  WHERE games_ago <= 15
  GROUP BY team
),
factors AS (
  SELECT
    upcoming.game_id, upcoming.player_id, upcoming.team, upcoming.opponent,
    zone.share_pts_2pt * defence.relative_2pt
      + zone.share_pts_3pt * defence.relative_3pt
      + zone.share_pts_ft * defence.relative_ft AS matchup_factor,
    SAFE_DIVIDE(rests.pts_per_possession, league.pts_per_possession) AS rest_factor,
    SAFE_DIVIDE(paces.pace, league.pace) AS pace_factor
  FROM nba_analytics.upcoming_player_game_context AS upcoming
  CROSS JOIN league
  LEFT JOIN nba_precompute.player_shot_zone_analysis AS zone
    ON zone.player_id = upcoming.player_id AND zone.as_of = @as_of
  LEFT JOIN nba_precompute.team_defense_zone_analysis AS defence
    ON defence.team = upcoming.opponent AND defence.as_of = @as_of
  LEFT JOIN rests ON rests.rest = LEAST(upcoming.rest_days, 3)
  LEFT JOIN paces ON paces.team = upcoming.opponent
  WHERE upcoming.as_of = @as_of
)
SELECT
  @as_of AS as_of, game_id, player_id, team, opponent,
  ROUND(matchup_factor, 6) AS matchup_factor,
  ROUND(rest_factor, 6) AS rest_factor,
  ROUND(pace_factor, 6) AS pace_factor,
  ROUND(matchup_factor * rest_factor * pace_factor, 6) AS composite_factor
FROM factors
