-- What is known of the runs themselves, folded from their facts when a report is asked for.

CREATE SCHEMA IF NOT EXISTS tipoff_ops;

-- One row: a run as it stands. duration_s and ended_at are null until it has ended well;
-- published_at is when it first had, deadline_at when it should have. run is who wrote the row.
CREATE TABLE IF NOT EXISTS tipoff_ops.runs (
  run_id STRING, pipeline STRING, date DATE NOT NULL, mode STRING, generation INT64,
  state STRING, started_at TIMESTAMP, ended_at TIMESTAMP, duration_s FLOAT64, completeness FLOAT64,
  deadline_at TIMESTAMP, published_at TIMESTAMP, cancelled BOOL,
  config_hash STRING, synthetic BOOL,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY pipeline, mode;

-- One row: a gate attempt as it ended. ready_at: when the last came of what it was decided on; null: nobody noted it.
CREATE TABLE IF NOT EXISTS tipoff_ops.outcomes (
  run_id STRING, date DATE NOT NULL, gate STRING, gate_attempt INT64, kind STRING, grade STRING,
  ready_at TIMESTAMP, decided_at TIMESTAMP,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY run_id;

-- One row: a phase from its first opening until the gate behind it first let it pass. usual_s: what its plan took it to
-- take; null: nobody knew.
CREATE TABLE IF NOT EXISTS tipoff_ops.transitions (
  run_id STRING, date DATE NOT NULL, phase STRING, opened_at TIMESTAMP, passed_at TIMESTAMP, took_s FLOAT64,
  usual_s INT64,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY run_id;

-- One row: an incident. resolved_at is null while it is open.
CREATE TABLE IF NOT EXISTS tipoff_ops.incidents (
  run_id STRING, date DATE NOT NULL, cause STRING, number INT64, severity STRING, summary STRING,
  raised_at TIMESTAMP, resolved_at TIMESTAMP,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY run_id;

-- One row: what a person said of a run.
CREATE TABLE IF NOT EXISTS tipoff_ops.words (
  run_id STRING, date DATE NOT NULL, verb STRING, about STRING, actor STRING, reason STRING, said_at TIMESTAMP,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY run_id;

-- One row: an act of the timer in a run, because the primary path had not done it (shared/core/repairs.py).
CREATE TABLE IF NOT EXISTS tipoff_ops.repairs (
  run_id STRING, date DATE NOT NULL, kind STRING, subject STRING, reason STRING, at TIMESTAMP,
  run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
) PARTITION BY date CLUSTER BY run_id;
