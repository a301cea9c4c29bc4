"""Salesforce exports by Airflow: one line for a job, or a task that distinguishes sfexport's exit statuses."""

import subprocess
from datetime import timedelta

import pendulum
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

# sfexport.toml names the directories of exports and state, and the workers' user can read the key: docs/deploy.md.
SFEXPORT = "sfexport --config /etc/sfexport/sfexport.toml"

# The scheduled time, or the time of a manual trigger (data_interval_end is undefined there), rendered as
# 2026-11-22T03:15:00+00:00. It keeps {date} the same in a retry after midnight; the job's `timezone` says which date that is.
# It changes nothing else: a backfill or a cleared task exports the data as it is when it runs.
RUN_AFTER = "{{ dag_run.run_after | ts }}"

# A retry can't fix these: command line, query, output, login, configuration.
NOT_RETRIED = (2, 65, 73, 77, 78)


@dag(
    schedule="15 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
)
def sfexport():
    # The one line. Airflow retries every failure, including those that a retry can't fix.
    BashOperator(task_id="accounts", bash_command=f"{SFEXPORT} run accounts --at '{RUN_AFTER}'")

    # The same, but failures that a retry can't fix are not retried.
    @task
    def export(job: str, at: str):
        command = [*SFEXPORT.split(), "run", job, "--at", at]
        status = subprocess.run(command, check=False).returncode
        if status in NOT_RETRIED:
            raise AirflowFailException(f"sfexport run {job} ended with {status}: not retried")
        if status != 0:
            raise AirflowException(f"sfexport run {job} ended with {status}")

    export.override(task_id="contacts")("contacts", RUN_AFTER)


sfexport()
