# SPDX-License-Identifier: Apache-2.0
# Functions that several scripts share; `source` it in the checkout's root. With AUDIOFORK_BUILT set (scripts/test sets
# it) programs, module and packages are there already, and nothing is built.
# shellcheck shell=bash

# need_packages PACKAGE...: installs the Debian packages that are missing.
need_packages() {
  [ -n "${AUDIOFORK_BUILT:-}" ] || scripts/install-packages "$@"
}

# quiet COMMAND...: runs it and prints nothing, but where it fails its errors, or else the end of its output.
quiet() {
  local log status=0
  log=$(mktemp)
  "$@" > "$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    grep -E 'error' "$log" >&2 || tail -n 30 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

# build_module RELEASE: build/asterisk-RELEASE/app_audiofork.so.
build_module() {
  [ -z "${AUDIOFORK_BUILT:-}" ] || return 0
  make -s -C Module OUT="../build/asterisk-$1" ASTERISK_INCLUDE="$(scripts/fetch-asterisk "$1")/usr/include"
}

# build_programs: what Asterisk starts and what users start, into build/.
build_programs() {
  [ -n "${AUDIOFORK_BUILT:-}" ] || make -s engine
}

# build_product NAME: a program for tests and measurements, .build/release/NAME.
build_product() {
  [ -n "${AUDIOFORK_BUILT:-}" ] || quiet swift build -c release --product "$1"
}

# listening LOG PID PATTERN SECONDS: waits for the line of a log that the extended regular expression matches, and
# prints its first group. Ends early, with the log on stderr, when the process has ended.
listening() {
  local found
  for _ in $(seq 1 $(($4 * 20))); do
    found=$(sed -nE "s|$3|\\1|p" "$1" | head -n 1)
    if [ -n "$found" ]; then
      echo "$found"
      return 0
    fi
    kill -0 "$2" 2> /dev/null || break
    sleep 0.05
  done
  cat "$1" >&2
  return 1
}

# listening_port LOG PID: the port at which the audiofork serve with this log and process listens.
listening_port() {
  listening "$1" "$2" '^listening on ws://127\.0\.0\.1:([0-9]+)/.*' 5
}

# listening_url LOG PID: the URL of an example server with this log and process, which prints `listening on PORT` within
# two minutes: a busy machine takes long to load a model.
listening_url() {
  local port
  port=$(listening "$1" "$2" '^listening on ([0-9]+)$' 120) && echo "ws://127.0.0.1:$port"
}
