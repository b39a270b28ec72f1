-- A team before a game. One row is a team in a game on as_of; two rows a game.
-- Input: nba_raw.raw_schedule (who meets whom, as the run of run_date read it), nba_raw.team_boxscores of this season
--   before as_of. It reads raw tables because the summaries of the same phase may not be there yet.
-- rest days = free days since the last game, 0 the day after it; ratings over the last five games as one
--   (100 x points / possessions, Kubatko et al. 2007), not the mean of five ratings.
WITH meetings AS (
  SELECT game_id, tipoff_et, home_team AS team, away_team AS opponent, TRUE AS is_home
  FROM nba_raw.raw_schedule
  WHERE schedule_date = @run_date AND game_date = @as_of
  UNION ALL
  SELECT game_id, tipoff_et, away_team AS team, home_team AS opponent, FALSE AS is_home
  FROM nba_raw.raw_schedule
  WHERE schedule_date = @run_date AND game_date = @as_of
),
played AS (
  SELECT
    own.team, own.game_date, own.minutes, own.pts, opp.pts AS opponent_pts,
    own.fga - own.oreb + own.tov + 0.44 * own.fta AS possessions,
    opp.fga - opp.oreb + opp.tov + 0.44 * opp.fta AS opponent_possessions,
    ROW_NUMBER() OVER (PARTITION BY own.team ORDER BY own.game_date DESC, own.game_id DESC) AS games_ago
  FROM nba_raw.team_boxscores AS own
  JOIN nba_raw.team_boxscores AS opp
    ON opp.game_date = own.game_date AND opp.game_id = own.game_id AND opp.team = own.opponent
  WHERE own.game_date >= @season_first AND own.game_date < @as_of
    AND opp.game_date >= @season_first AND opp.game_date < @as_of
),
form AS (
  SELECT
    team,
    COUNT(*) AS games,
    MAX(game_date) AS last_game_date,
    COUNTIF(game_date >= DATE_SUB(@as_of, INTERVAL 7 DAY)) AS games_last_7d,
    SAFE_DIVIDE(100 * SUM(IF(games_ago <= 5, pts, 0)), SUM(IF(games_ago <= 5, possessions, 0))) AS offensive_rating,
    SAFE_DIVIDE(
      100 * SUM(IF(games_ago <= 5, opponent_pts, 0)), SUM(IF(games_ago <= 5, opponent_possessions, 0))
    ) AS defensive_rating,
    SAFE_DIVIDE(
      48 * SUM(IF(games_ago <= 5, possessions + opponent_possessions, 0)), 2 * SUM(IF(games_ago <= 5, minutes, 0)) / 5
    ) AS pace
  FROM played
  GROUP BY team
)
SELECT
  @as_of AS as_of, meeting.game_id, meeting.team, meeting.opponent, meeting.is_home, meeting.tipoff_et,
  COALESCE(form.games, 0) AS games,
  form.last_game_date,
  DATE_DIFF(@as_of, form.last_game_date, DAY) - 1 AS rest_days,
  DATE_DIFF(@as_of, form.last_game_date, DAY) = 1 AS is_back_to_back,
  COALESCE(form.games_last_7d, 0) AS games_last_7d,
  ROUND(form.offensive_rating, 6) AS offensive_rating_last5,
  ROUND(form.defensive_rating, 6) AS defensive_rating_last5,
  ROUND(form.offensive_rating - form.defensive_rating, 6) AS net_rating_last5,
  ROUND(form.pace, 6) AS pace_last5
FROM meetings AS meeting
LEFT JOIN form ON form.team = meeting.team
