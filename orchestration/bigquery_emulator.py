"""Starts bqemulator with what its scripts lack, by bqemulator's own Python; for orchestration.emulators alone.

BigQuery gives a multi-statement script its query parameters and `@@row_count`; bqemulator 1.4.0 gives them to single
statements only, and a write here is one script. Both become variables of the script, which it can. Nothing else of it
is changed: what it does wrong beside that, tests/contract names case by case.
"""

from __future__ import annotations

import re
from importlib import import_module
from itertools import pairwise
from typing import Any

CHANGES_ROWS = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
ROW_COUNT = "tipoff_emulator_row_count"


def with_variables(script: str, names: frozenset[str], tokens: list[Any]) -> str:
    """The script with @name and @@row_count as variables; text, comments and quoted names stay as they are."""
    for at, name in reversed(list(pairwise(tokens))):
        if at.text != "@" or name.start != at.end + 1:
            continue
        if script[max(at.start - 1, 0)] == "@":
            if name.text.lower() == "row_count":
                script = f"{script[: at.start - 1]}{ROW_COUNT}{script[name.end + 1 :]}"
        elif name.text in names:
            script = f"{script[: at.start]}{variable(name.text)}{script[name.end + 1 :]}"
    return script


def variable(parameter: str) -> str:
    return f"tipoff_emulator_parameter_{parameter}"


def repair() -> None:
    """Let a script's interpreter declare what the job was given, and count what each statement changed."""
    executor: Any = import_module("bqemulator.jobs.executor")
    interpreter: Any = import_module("bqemulator.scripting.interpreter").ScriptInterpreter
    value_of: Any = import_module("bqemulator.sql.parameters")._extract_value
    tokenize: Any = import_module("sqlglot").tokenize
    run_body, run_query = executor._run_query_body, interpreter._run_query

    async def run_script_with(*, bq_sql: str, query_params: Any, is_scripted: bool, **rest: Any) -> Any:
        if not is_scripted:
            return await run_body(bq_sql=bq_sql, query_params=query_params, is_scripted=is_scripted, **rest)
        given = {item["name"]: item for item in query_params or () if item.get("name")}
        script = with_variables(bq_sql, frozenset(given), tokenize(bq_sql, read="bigquery"))
        running = interpreter(rest["ctx"], rest["project_id"], caller=rest["effective_caller"])
        for name, item in given.items():
            running._frames.declare(variable(name), item["parameterType"]["type"], value_of(item))
        running._frames.declare(ROW_COUNT, "INT64", None)
        return await executor._run_script(running, script, rest["ctx"])

    async def run_query_and_count(self: Any, sql: str) -> Any:
        table = await run_query(self, sql)
        if CHANGES_ROWS.match(sql) and table.num_rows == 1:
            self._frames.set(ROW_COUNT, table.column(0)[0].as_py())
        return table

    executor._run_query_body = run_script_with
    interpreter._run_query = run_query_and_count


if __name__ == "__main__":
    repair()
    import_module("bqemulator.cli").main()
