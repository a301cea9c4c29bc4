#!/bin/sh
# The daemon's resident memory over many runs against the embedded org: 10,000, or as many as the first argument says.
# The runs are a hundred missed occurrences a job, all caught up at one start. Fails where the memory at the end is a
# tenth and 2 MiB above what it was after a fifth of the runs. SFEXPORT names another binary than target/release's.
set -eu

runs=${1:-10000}
sfexport=${SFEXPORT:-$(dirname "$0")/../target/release/sfexport}
sfexport=$(realpath "$sfexport")
jobs=$(((runs + 99) / 100))
work=$(mktemp -d)
org=
daemon=
end() {
    # One after the other: a run that goes on needs its org.
    for process in $daemon $org; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap end EXIT
cd "$work"

"$sfexport" demo --serve --records 200 --dir org >org.log 2>&1 &
org=$!
for _ in $(seq 100); do
    grep -q 'The org is up' org.log && break
    sleep 0.1
done
mkdir jobs
{
    grep -v '^#' org/sfexport.toml | sed 's|"server.key"|"org/server.key"|'
    printf '[daemon]\nmax_concurrent_runs = 4\n'
} >sfexport.toml
for number in $(seq "$jobs"); do
    cat >"jobs/job$number.toml" <<JOB
soql     = "SELECT Id, Name, Owner.Name, AnnualRevenue FROM Account"
output   = "{job}.csv"
schedule = "* * * * *"
catch_up = "all"
overlap  = "queue"
JOB
done

# A first start writes the marks; turned back by 100 minutes, they make every job late.
"$sfexport" daemon --log-level error &
daemon=$!
for _ in $(seq 300); do
    [ "$(find state/marks -name '*.json' 2>/dev/null | wc -l)" -ge "$jobs" ] && break
    sleep 0.1
done
kill "$daemon"
wait "$daemon" || true
daemon=
rm -f state/runs.jsonl
late=$(date -u -d '-100 minutes' +%Y-%m-%dT%H:%M:00Z)
sed -i "s/\"settled\":\"[^\"]*\"/\"settled\":\"$late\"/; s/\"started\":\[.*\]\]/\"started\":[]/" state/marks/*.json

begun=$(date +%s)
"$sfexport" daemon --log-level error &
daemon=$!
step=$(((runs + 9) / 10))
next=$step
early=
echo "   runs  KiB resident  seconds"
while :; do
    # What was passed over is told in the history too, and is no run.
    done=$(grep -c '"status":"ok"' state/runs.jsonl 2>/dev/null || true)
    done=${done:-0}
    resident=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon/status")
    if [ "$done" -ge "$next" ]; then
        printf '%7d  %12d  %7d\n' "$done" "$resident" $(($(date +%s) - begun))
        [ -z "$early" ] && [ "$done" -ge $((runs / 5)) ] && early=$resident
        next=$((next + step))
    fi
    [ "$done" -ge "$runs" ] && break
    kill -0 "$daemon"
    sleep 0.2
done
failed=$(grep -c '"status":"failed"' state/runs.jsonl || true)
echo "failed runs: $failed; open files: $(find "/proc/$daemon/fd" -type l | wc -l); threads: $(find "/proc/$daemon/task" -maxdepth 1 -type d | wc -l)"
[ "$failed" -eq 0 ]
if [ "$resident" -gt $((early + early / 10 + 2048)) ]; then
    echo "the memory grew from $early to $resident KiB" >&2
    exit 1
fi
