-- A player before a game. One row is a player who is expected in a game on as_of.
-- Expected: his last game before as_of was one of the last five of the team he played it for.
-- Input: nba_raw.raw_schedule (who meets whom, as the run of run_date read it), nba_raw.team_boxscores and
--   nba_raw.player_boxscores of this season before as_of. It reads raw tables because the summaries of the same phase
--   may not be there yet.
-- rest days = free days since his last game, 0 the day after it.
WITH meetings AS (
  SELECT game_id, tipoff_et, home_team AS team, away_team AS opponent, TRUE AS is_home
  FROM nba_raw.raw_schedule
  WHERE schedule_date = @run_date AND game_date = @as_of
  UNION ALL
  SELECT game_id, tipoff_et, away_team AS team, home_team AS opponent, FALSE AS is_home
  FROM nba_raw.raw_schedule
  WHERE schedule_date = @run_date AND game_date = @as_of
),
team_games AS (
  SELECT
    team, game_id,
    ROW_NUMBER() OVER (PARTITION BY team ORDER BY game_date DESC, game_id DESC) AS games_ago
  FROM nba_raw.team_boxscores
  WHERE game_date >= @season_first AND game_date < @as_of
),
players AS (
  SELECT
    player_id, player_name, team, game_id, game_date,
    COUNT(IF(game_date >= DATE_SUB(@as_of, INTERVAL 7 DAY), 1, NULL)) OVER (PARTITION BY player_id) AS games_last_7d
  FROM nba_raw.player_boxscores
  WHERE game_date >= @season_first AND game_date < @as_of
  QUALIFY ROW_NUMBER() OVER (PARTITION BY player_id ORDER BY game_date DESC, game_id DESC) = 1
)
SELECT
  @as_of AS as_of, meeting.game_id, player.player_id, player.player_name,
  meeting.team, meeting.opponent, meeting.is_home, meeting.tipoff_et,
  player.game_date AS last_game_date,
  DATE_DIFF(@as_of, player.game_date, DAY) - 1 AS rest_days,
  DATE_DIFF(@as_of, player.game_date, DAY) = 1 AS is_back_to_back,
  player.games_last_7d,
  team_game.games_ago - 1 AS team_games_missed
FROM meetings AS meeting
JOIN players AS player ON player.team = meeting.team
JOIN team_games AS team_game
  ON team_game.team = player.team AND team_game.game_id = player.game_id AND team_game.games_ago <= 5
