#!/usr/bin/env bash
# Installs what the tests need and runs them all, on io_uring and then on epoll. One command, from a fresh Debian 12 with Rust:
#
#     tests/run.sh                 everything
#     tests/run.sh --install       only install
#     tests/run.sh -- FILTER…      passes FILTER… on to the test runner (nextest if it is there, else cargo test)
#
# Programs come by apt where this user may install them, Python and node packages into target/test-venv and target/test-node.
# What cannot be had is said, and the tests that need it are skipped, each with a line `skipped: NAME: reason`. With
# HOTGATE_TEST_REQUIRED=1 (as .ci/run sets it) it fails when a test of tests/required.txt was skipped or did not run.
# HOTGATE_TEST_BACKENDS="epoll" runs on that one alone. Results are left in target/test-results/.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
results=$root/target/test-results
mkdir -p "$results"

say() { printf '== %s\n' "$*"; }

# --- what the tests need -------------------------------------------------------------------------------------------

# Programs, each with the Debian package that has it.
programs="cc:build-essential groff:groff-base curl:curl strace:strace redis-server:redis-server node:nodejs npm:npm chromium:chromium prometheus:prometheus nginx:nginx haproxy:haproxy wrk:wrk pebble:pebble pebble-challtestsrv:pebble caddy:caddy knotd:knot ip:iproute2 openssl:openssl certutil:libnss3-tools mkcert:mkcert testssl:testssl.sh"

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

# A Python that can make environments. Debian's own first: a version manager's shim may stand before it in the PATH.
find_python() {
  local candidate
  for candidate in /usr/bin/python3 python3; do
    if has "$candidate" && "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

install_programs() {
  local missing="" pair
  for pair in $programs; do
    has "${pair%%:*}" || missing="$missing ${pair##*:}"
  done
  find_python >/dev/null || missing="$missing python3 python3-venv"
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ] || ! has apt-get; then
    say "missing, and not installed because this user may not:$missing"
    say "as root: apt-get install --no-install-recommends$missing"
    return 0
  fi
  say "installing$missing"
  # Packages must not start daemons.
  local policy=/usr/sbin/policy-rc.d ours=""
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && ours=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # All at once; one that this machine's package lists do not have must not keep the others away.
  {
    apt-get -qq update
    # shellcheck disable=SC2086
    apt-get -qq -y --no-install-recommends install $missing ||
      for pair in $missing; do apt-get -qq -y --no-install-recommends install "$pair"; done
  } </dev/null >"$results/apt.log" 2>&1 || { say "apt-get could not install everything:"; tail -n 5 "$results/apt.log"; }
  [ -z "$ours" ] || rm -f "$policy"
}

# Both keep a copy of what they were made from, and are made anew when that changes.
install_python() {
  local python venv=$root/target/test-venv wanted=$root/tests/apps/requirements.txt
  cmp -s "$wanted" "$venv/requirements.txt" && [ -x "$venv/bin/python" ] && return
  python=$(find_python) || { say "no Python from 3.10 on with venv: its tests are skipped"; return; }
  say "making target/test-venv"
  rm -rf "$venv"
  if { "$python" -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check -r "$wanted"; } \
    </dev/null >"$results/pip.log" 2>&1; then
    cp "$wanted" "$venv/requirements.txt"
  else
    say "the Python packages could not be installed:"
    tail -n 5 "$results/pip.log"
    rm -rf "$venv"
  fi
}

install_node() {
  local modules=$root/target/test-node wanted=$root/tests/apps/package.json
  cmp -s "$wanted" "$modules/installed.json" && return
  has npm || { say "no npm: node's tests are skipped"; return; }
  say "making target/test-node"
  rm -rf "$modules" && mkdir -p "$modules" && cp "$wanted" "$modules/package.json"
  if (cd "$modules" && npm install --no-audit --no-fund --no-package-lock --ignore-scripts) \
    </dev/null >"$results/npm.log" 2>&1; then
    cp "$wanted" "$modules/installed.json"
  else
    say "the node packages could not be installed:"
    tail -n 5 "$results/npm.log"
    rm -rf "$modules"
  fi
}

# May this process make a ring? The tests on io_uring are not started where the kernel or a sandbox refuses.
may_use_io_uring() {
  local python
  python=$(find_python) || return 0
  "$python" - <<'PYTHON'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 1, ctypes.create_string_buffer(256))
sys.exit(0 if ring >= 0 else os.strerror(ctypes.get_errno()))
PYTHON
}

# --- running -------------------------------------------------------------------------------------------------------

# Reads a runner's output and writes one line a test: `ok NAME` or `failed NAME`, NAME as in required.txt.
outcomes() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    # nextest:    PASS [   0.051s] (832/902) hotgate::smuggling LN-43::whole
    $1 ~ /^(PASS|LEAK|FAIL|TIMEOUT|ABORT|SIG[A-Z0-9]+)$/ && $2 ~ /^\[/ {
      name = $NF; binary = $(NF - 1)
      sub(/^hotgate::(bin\/)?/, "", binary)
      print (($1 == "PASS" || $1 == "LEAK") ? "ok" : "failed"), binary "::" name
    }
    # cargo test:     Running tests/smuggling.rs (target/…)   then   test LN-43::whole ... ok
    $1 == "Running" { binary = ($2 == "unittests") ? "hotgate" : $2; sub(/^tests\//, "", binary); sub(/(\/main)?\.rs$/, "", binary) }
    $1 == "Doc-tests" { binary = "doc" }
    $1 == "test" && $NF == "ok" { print "ok", binary "::" $2 }
    $1 == "test" && $NF == "FAILED" { print "failed", binary "::" $2 }
  ' | sort -u
}

# The tests that need a backend, as arguments for cargo test.
outside() {
  local file
  for file in tests/*.rs; do
    case $file in tests/bench.rs | tests/cli.rs | tests/config.rs | tests/floors.rs | tests/readme.rs | tests/schema.rs) ;; *) printf '%s\n' --test "$(basename "$file" .rs)" ;; esac
  done
}

# run BACKEND WHAT ARGUMENTS…: WHAT is `all`, or `outside` for those that a backend can make a difference to.
run() {
  local backend=$1 what=$2 log=$results/$1.log status=0
  shift 2
  export HOTGATE_TEST_BACKEND=$backend HOTGATE_TEST_SKIPS=$results/$backend.skipped
  : >"$HOTGATE_TEST_SKIPS"
  if cargo nextest --version >/dev/null 2>&1; then
    local set=()
    [ "$what" = all ] || set=(-E 'kind(test) and not (binary(bench) or binary(cli) or binary(config) or binary(floors) or binary(readme) or binary(schema))')
    cargo nextest run --config-file .ci/nextest.toml --no-fail-fast --color never "${set[@]}" "$@" </dev/null >"$log" 2>&1 || status=1
  else
    local set=(--lib --bins --tests)
    [ "$what" = all ] || mapfile -t set < <(outside)
    cargo test --no-fail-fast --color never "${set[@]}" "$@" </dev/null >"$log" 2>&1 || status=1
  fi
  if [ "$what" = all ] && [ $# = 0 ]; then
    cargo test --doc --color never </dev/null >>"$log" 2>&1 || status=1
  fi
  outcomes "$log" >"$results/$backend.outcomes"
  sed 's/^skipped: \([^:]*\(::[^:]*\)*\): .*/\1/' "$HOTGATE_TEST_SKIPS" | sort -u >"$results/$backend.skipped.names"
  local ran failed skipped
  ran=$(grep -c '^ok ' "$results/$backend.outcomes")
  failed=$(grep -c '^failed ' "$results/$backend.outcomes")
  skipped=$(wc -l <"$results/$backend.skipped.names")
  if [ $status != 0 ]; then
    # All of it when nothing ran (it did not compile), else what the failed ones said.
    if [ $((ran + failed)) = 0 ]; then tail -n 60 "$log"; else grep -vE '^ +PASS |^test .* ok$' "$log" | tail -n 400; fi
    [ "$failed" != 0 ] || failed=1
  fi
  sort -u "$HOTGATE_TEST_SKIPS"
  say "on $backend: $((ran - skipped)) passed, $failed failed, $skipped skipped"
  passed_sum=$((passed_sum + ran - skipped)) failed_sum=$((failed_sum + failed)) skipped_sum=$((skipped_sum + skipped))
}

# The tests of required.txt that were skipped or did not run on BACKEND.
lacking() {
  local backend=$1 name only
  while read -r name only; do
    case $name in '' | '#'*) continue ;; esac
    [ -z "${only:-}" ] || [ "$only" = "$backend" ] || continue
    # On the second backend only what it can make a difference to is run again.
    case $name in 'hotgate::'* | 'bench::'* | 'cli::'* | 'config::'* | 'floors::'* | 'readme::'* | 'schema::'*) [ "$backend" = "$first" ] || continue ;; esac
    local pattern ran
    pattern=$(printf '%s' "$name" | sed 's/[].[\^$]/\\&/g; s/\*$/.*/')
    ran=$(grep -cE "^(ok|failed) $pattern\$" "$results/$backend.outcomes")
    [ "$ran" != 0 ] || echo "required, but it did not run on $backend: $name"
    grep -xE "$pattern" "$results/$backend.skipped.names" | sed "s/^/required, but skipped on $backend: /"
  done <tests/required.txt
}

install_programs
install_python
install_node
[ "${1:-}" != --install ] || exit 0
[ "${1:-}" != -- ] || shift

passed_sum=0 failed_sum=0 skipped_sum=0
backends=${HOTGATE_TEST_BACKENDS:-io_uring epoll}
case " $backends " in *' io_uring '*)
  if ! why=$(may_use_io_uring 2>&1); then
    say "skipped: everything on io_uring: the kernel refuses a ring: $why"
    skipped_sum=1 backends=epoll
    : >"$results/io_uring.outcomes"
    : >"$results/io_uring.skipped.names"
  fi ;;
esac
first=${backends%% *} what=all
for backend in $backends; do
  say "tests on $backend"
  run "$backend" "$what" "$@"
  what=outside
done
if [ $# = 0 ]; then
  for backend in ${HOTGATE_TEST_BACKENDS:-io_uring epoll}; do lacking "$backend"; done >"$results/lacking"
  cat "$results/lacking"
  if [ "${HOTGATE_TEST_REQUIRED:-}" = 1 ]; then failed_sum=$((failed_sum + $(wc -l <"$results/lacking"))); fi
fi
echo "$passed_sum $failed_sum $skipped_sum" >"$results/sums"
say "tests: $passed_sum passed, $failed_sum failed, $skipped_sum skipped"
[ "$failed_sum" = 0 ]
