-- Where a player's points come from. One row is a player who played this season.
-- Input: nba_analytics.player_game_summary, each player's last 10 games of this season before as_of.
-- share of points by zone (null without a point); share of scoring attempts by zone, free throws counted 0.44 as in TS%
--   (basketball-reference glossary), null without an attempt; made / attempted by zone.
WITH games AS (
  SELECT player_id, pts, pts_2pt, pts_3pt, pts_ft, fgm, fga, fg3m, fg3a, ftm, fta
  FROM nba_analytics.player_game_summary
  WHERE game_date >= @season_first AND game_date < @as_of
  QUALIFY ROW_NUMBER() OVER (PARTITION BY player_id ORDER BY game_date DESC, game_id DESC) <= 10
),
players AS (
  SELECT
    player_id,
    COUNT(*) AS games,
    SUM(pts) AS pts, SUM(pts_2pt) AS pts_2pt, SUM(pts_3pt) AS pts_3pt, SUM(pts_ft) AS pts_ft,
    SUM(fgm - fg3m) AS fg2m, SUM(fga - fg3a) AS fg2a, SUM(fg3m) AS fg3m, SUM(fg3a) AS fg3a,
    SUM(ftm) AS ftm, SUM(fta) AS fta, SUM(fga) + 0.44 * SUM(fta) AS attempts
  FROM games
  GROUP BY player_id
)
SELECT
  @as_of AS as_of, player_id, games, pts,
  ROUND(SAFE_DIVIDE(pts_2pt, pts), 6) AS share_pts_2pt,
  ROUND(SAFE_DIVIDE(pts_3pt, pts), 6) AS share_pts_3pt,
  ROUND(SAFE_DIVIDE(pts_ft, pts), 6) AS share_pts_ft,
  ROUND(SAFE_DIVIDE(fg2a, attempts), 6) AS share_attempts_2pt,
  ROUND(SAFE_DIVIDE(fg3a, attempts), 6) AS share_attempts_3pt,
  ROUND(SAFE_DIVIDE(0.44 * fta, attempts), 6) AS share_attempts_ft,
  ROUND(SAFE_DIVIDE(fg2m, fg2a), 6) AS pct_2pt,
  ROUND(SAFE_DIVIDE(fg3m, fg3a), 6) AS pct_3pt,
  ROUND(SAFE_DIVIDE(ftm, fta), 6) AS pct_ft
FROM players
