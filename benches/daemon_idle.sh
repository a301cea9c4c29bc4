#!/bin/sh
# The daemon with 1,000 jobs and nothing to do: memory, processor time of two minutes, the time of a reload, and how
# late a job starts that is due at the full minute. Takes four minutes. SFEXPORT names another binary than
# target/release's.
set -eu

sfexport=$(realpath "${SFEXPORT:-$(dirname "$0")/../target/release/sfexport}")
idle=${IDLE:-120}
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
grep -v '^#' org/sfexport.toml | sed 's|"server.key"|"org/server.key"|' >sfexport.toml
for number in $(seq 1000); do
    cat >"jobs/job$number.toml" <<JOB
soql     = "SELECT Id, Name, Owner.Name, AnnualRevenue, NumberOfEmployees, CreatedDate FROM Account"
output   = "{job}/{date}.csv"
schedule = "$((number % 60)) 2 1 1 *"
timezone = "Europe/Berlin"
JOB
done

"$sfexport" daemon 2>daemon.log &
daemon=$!
said() {
    for _ in $(seq 600); do
        [ "$(grep -c "$1" daemon.log)" -ge "${2:-1}" ] && return
        sleep 0.1
    done
    cat daemon.log >&2
    exit 1
}
said 'the daemon has started'
sleep 10
ticks() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; }
before=$(ticks)
sleep "$idle"
used=$(($(ticks) - before))
echo "idle: $used ticks of 10 ms in $idle s; $(sed -n 's/^VmRSS:[^0-9]*//p' "/proc/$daemon/status") resident"
for count in 1 2 3; do
    kill -HUP "$daemon"
    said 'was read anew' "$count"
done
grep 'was read anew' daemon.log | sed 's/.*seconds=/reload of 1,000 jobs, seconds: /'
printf 'soql = "SELECT Id FROM Account"\noutput = "minute.csv"\nschedule = "* * * * *"\n' >jobs/minute.toml
kill -HUP "$daemon"
said 'was read anew' 4
sleep 125
"$sfexport" --log-level error history minute --json |
    sed -n 's/.*"scheduled":"\([^"]*\)","started":"\([^"]*\)".*/due \1, started \2/p'
echo "with $(grep -c . state/runs.jsonl) runs: $(sed -n 's/^VmRSS:[^0-9]*//p' "/proc/$daemon/status") resident"
