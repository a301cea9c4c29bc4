# What the scripts of this folder share: where things are, a new enough Node, and an embedded org that is up for
# as long as the script runs. Sourced, not run.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/clients
mkdir -p "$work"

# The cargo to use, and its profile: CARGO="cargo +nightly" and PROFILE=release are possible.
cargo=${CARGO:-cargo}
profile=${PROFILE:-dev}
case $profile in
dev) built=$target/debug ;;
*) built=$target/$profile ;;
esac

# The newest jsforce and Salesforce's CLI want Node 22. Where the system's is older, a Node is installed like any
# other package, below target/.
node22() {
    local platform
    if node -e 'process.exit(process.versions.node.split(".")[0] >= 22 ? 0 : 1)'; then
        return
    fi
    platform=node-$(node -p 'process.platform + "-" + process.arch')
    if [ ! -x "$work/node22/node_modules/$platform/bin/node" ]; then
        mkdir -p "$work/node22"
        npm install --prefix "$work/node22" "${npm_options[@]}" --no-package-lock "$platform@22.23.3" >&2
    fi
    PATH=$work/node22/node_modules/$platform/bin:$PATH
    echo "Node $(node --version), installed below target/" >&2
}

# No scripts of packages are run.
npm_options=(--ignore-scripts --no-audit --no-fund --loglevel=error)

# serve RECORDS: an embedded org on a free port. Sets ORG_URL, ORG_CLIENT_ID, ORG_USERNAME and ORG_KEY_FILE.
serve() {
    local folder=$work/org log=$work/org.log
    # The log too: its last line tells that the org is up.
    rm -rf "$folder" "$log"
    "$built/sfexport" demo --serve --port 0 --records "$1" --dir "$folder" >"$log" 2>&1 &
    org=$!
    trap stop EXIT
    for wait in $(seq 300); do
        if grep -qs "^The org is up" "$log"; then
            break
        elif [ "$wait" = 300 ] || ! kill -0 $org; then
            echo "The org did not start:" >&2
            cat "$log" >&2
            exit 1
        fi
        sleep 0.1
    done
    ORG_URL=$(setting login_url)
    ORG_CLIENT_ID=$(setting client_id)
    ORG_USERNAME=$(setting username)
    ORG_KEY_FILE=$folder/server.key
    export ORG_URL ORG_CLIENT_ID ORG_USERNAME ORG_KEY_FILE
    echo "An embedded org of $1 accounts at $ORG_URL" >&2
}

# Ends the org.
stop() {
    kill -INT "$org"
    wait "$org" || true
    trap - EXIT
}

setting() {
    sed -n "s/^$1 *= *\"\(.*\)\"$/\1/p" "$work/org/sfexport.toml"
}
