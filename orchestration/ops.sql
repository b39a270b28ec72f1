-- What is known of the runs themselves, folded from their facts when a report is asked for.

CREATE SCHEMA IF NOT EXISTS tipoff_ops;

-- One row: a run as it stands. duration_s and ended_at are null until it has ended well. run is who wrote the row.
CREATE TABLE IF NOT EXISTS tipoff_ops.runs (
  run_id STRING, pipeline STRING, date DATE NOT NULL, mode STRING, generation INT64,
  state STRING, started_at TIMESTAMP, ended_at TIMESTAMP, duration_s FLOAT64, completeness FLOAT64,
  config_hash STRING, synthetic BOOL,
  gates INT64,  -- that it has passed, each as often as it opened
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL
) PARTITION BY date CLUSTER BY pipeline, mode;

-- One row: an act of the timer in a run, because the primary path had not done it (shared/core/repairs.py).
CREATE TABLE IF NOT EXISTS tipoff_ops.repairs (
  run_id STRING, pipeline STRING, date DATE NOT NULL, mode STRING,
  kind STRING, subject STRING, reason STRING, at TIMESTAMP,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL
) PARTITION BY date CLUSTER BY pipeline, mode;
