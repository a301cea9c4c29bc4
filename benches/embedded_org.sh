# Sourced by the scripts that run against the embedded org: a scratch folder with the org, a configuration that points at it
# and room for jobs; at the end the processes are ended, a daemon before its org, and the folder is removed. SFEXPORT
# names another binary than target/release's; the script may set `scratch`, where the folder is made, and `org_options`.

sfexport=$(realpath "${SFEXPORT:-$(dirname "$0")/../target/release/sfexport}")
work=$(mktemp -d ${scratch:+-p "$scratch"})
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
# A shell that dies of a signal sets off no trap by itself.
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$work"

"$sfexport" demo --serve ${org_options:---records 200} --dir org >org.log 2>&1 &
org=$!
for _ in $(seq 100); do
    grep -q 'The org is up' org.log && break
    kill -0 "$org"
    sleep 0.1
done
mkdir jobs
grep -v '^#' org/sfexport.toml | sed 's|"server.key"|"org/server.key"|; s|"server.crt"|"org/server.crt"|' >sfexport.toml

# resident: the daemon's resident memory in KiB.
resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon/status"; }
