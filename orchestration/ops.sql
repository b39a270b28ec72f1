-- What is known of the runs themselves, folded from their facts when a report is asked for.

CREATE SCHEMA IF NOT EXISTS tipoff_ops;

-- One row: a run as it stands. duration_s and ended_at are null until it has ended well. run is who wrote the row.
CREATE TABLE IF NOT EXISTS tipoff_ops.runs (
  run_id STRING, pipeline STRING, date DATE NOT NULL, mode STRING, generation INT64,
  state STRING, started_at TIMESTAMP, ended_at TIMESTAMP, duration_s FLOAT64, completeness FLOAT64,
  config_hash STRING, synthetic BOOL,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY pipeline, mode;
