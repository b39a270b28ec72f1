-- What the objectives of transition times judge. One row is a phase of a run that the gate behind it has let pass.
-- Parameters: pipeline, first, last (dates, both included).
-- Input: tipoff_ops.transitions and runs, folded into an empty warehouse when it is asked for (ops.sql).
-- measured_s: from the phase's first opening until the gate behind it first let it pass; usual_s: what its plan took it
--   to take, learnt from the runs before or declared. A day with nothing to do waits for nothing, and is none.
SELECT
  transitions.run_id,
  transitions.date,
  transitions.phase,
  transitions.passed_at AS happened_at,
  transitions.took_s AS measured_s,
  CAST(transitions.usual_s AS FLOAT64) AS usual_s
FROM tipoff_ops.transitions AS transitions
JOIN tipoff_ops.runs AS runs ON runs.run_id = transitions.run_id
WHERE
  runs.pipeline = @pipeline AND transitions.date BETWEEN @first AND @last AND runs.state <> 'nothing_expected'
ORDER BY happened_at, transitions.run_id, transitions.phase
