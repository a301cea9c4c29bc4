#!/usr/bin/env bash
# A set of 400 objects of 200 records each, with descriptions of 270 KB, against the embedded org in a separate
# process, all on a memory disk: seconds, API calls, requests for descriptions and the peak of memory.
# Usage: benches/set.sh [RUNS]; OBJECTS and RECORDS change the org, SFEXPORT names another binary.
set -euo pipefail
runs=${1:-3}
scratch=/dev/shm
org_options="--objects ${OBJECTS:-400} --records ${RECORDS:-200}"
. "$(dirname "$0")/embedded_org.sh"

printf 'objects = ["Obj*"]\noutput = "{object}.csv"\napi = "rest"\n' >jobs/backup.toml
for run in $(seq "$runs"); do
    rm -rf exports state
    /usr/bin/time -f '%e %M %U %S' -o time.txt \
        "$sfexport" run backup --json --log-level error >report.jsonl
    read -r seconds peak user system <time.txt
    set=$(tail -n 1 report.jsonl)
    number() { printf '%s' "$set" | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d : -f 2; }
    printf 'run %s: %s objects, %s records, %s s, %s API calls, %s logins, peak %s KiB, CPU %s + %s s\n' "$run" \
        "$(number exported)" "$(number records)" "$seconds" "$(number api_calls)" "$(number logins)" "$peak" \
        "$user" "$system"
done
