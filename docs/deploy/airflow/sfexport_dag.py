"""Salesforce exports by Airflow: one line for a job, or a task that distinguishes sfexport's exit statuses."""

import subprocess
from datetime import timedelta

import pendulum
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

# sfexport.toml says where exports and state are, and the workers' user can read the key: docs/deploy.md.
SFEXPORT = "sfexport --config /etc/sfexport/sfexport.toml"

# The time that the run is for: the scheduled time, or the moment of a manual trigger (data_interval_end is undefined
# there). A retry after midnight, a backfill and a cleared task get the same {date} as the first attempt. It is rendered
# as 2026-11-22T03:15:00+00:00; the job's own `timezone` says which date that is.
RUN_AFTER = "{{ dag_run.run_after | ts }}"

# These need a person and are not retried: command line, query, output, login, configuration.
NEEDS_A_PERSON = (2, 65, 73, 77, 78)


@dag(
    schedule="15 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
)
def sfexport():
    # The one line. Airflow retries every failure, also those that only a person can end.
    BashOperator(task_id="accounts", bash_command=f"{SFEXPORT} run accounts --at '{RUN_AFTER}'")

    # The same, but failures that need a person are not retried.
    @task
    def export(job: str, at: str):
        command = [*SFEXPORT.split(), "run", job, "--at", at]
        status = subprocess.run(command, check=False).returncode
        if status in NEEDS_A_PERSON:
            raise AirflowFailException(f"sfexport run {job} ended with {status}: not retried")
        if status != 0:
            raise AirflowException(f"sfexport run {job} ended with {status}")

    export.override(task_id="contacts")("contacts", RUN_AFTER)


sfexport()
