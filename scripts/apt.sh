# SPDX-License-Identifier: Apache-2.0
# Fetches Debian packages of any suite without root and without touching the system: apt with a state of its own. The
# script that sources this defines say().
# shellcheck shell=bash

# need_apt: ends the script where the machine is no Debian.
need_apt() {
  local tool
  for tool in apt-get apt-cache dpkg dpkg-deb; do
    if ! command -v "$tool" > /dev/null; then
      say "this needs $tool, so a Debian or a relative of it"
      exit 1
    fi
  done
}

# shellcheck disable=SC2016 # $(SITE) is apt's
# The mirrors are the machine's own: where its apt fetches Debian's main packages from. Before its first update apt
# knows no Origin yet; then the name of the folder has to do.
mirrors() {
  if [ -n "${AUDIOFORK_MIRROR:-}" ]; then
    echo "$AUDIOFORK_MIRROR"
    return
  fi
  local found
  found=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' 'Label: Debian' 2> /dev/null || true)
  [ -n "$found" ] || found=$(apt-get indextargets --no-release-info --format '$(SITE) $(RELEASE)' 2> /dev/null |
    awk '$1 ~ /debian\/?$/ && $2 !~ /security/ {print $1}' || true)
  sort -u <<< "$found"
}

# own_apt FOLDER SUITE: sets `sites`, the mirrors, and `apt`, the options with which apt uses this folder and suite.
own_apt() {
  apt_state=$1 apt_suite=$2
  mkdir -p "$apt_state/lists/partial" "$apt_state/archives/partial"
  : > "$apt_state/status" # an empty one: the closure is to be complete whatever this machine has installed
  sites=$(mirrors)
  if [ -z "$sites" ]; then
    say "the machine's apt knows no mirror of Debian; add one to its sources, or set AUDIOFORK_MIRROR to the URL of one"
    exit 1
  fi
  local file
  keyring=
  for file in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
    if [ -r "$file" ]; then keyring="signed-by=$file"; fi
  done

  # The machine's configuration of apt (proxies, certificates) but for its hooks, which would touch the system.
  apt-config dump | grep -v 'Invoke\|Pre-Install-Pkgs\|Hooks' > "$apt_state/apt.conf"
  printf 'Dir::Etc::main "%s";\nDir::Etc::parts "/dev/null";\n' "$apt_state/apt.conf" > "$apt_state/first.conf"
  architecture=$(dpkg --print-architecture)
  export APT_CONFIG=$apt_state/first.conf
  apt=(-qq
    -o "Dir::State=$apt_state" -o "Dir::State::lists=$apt_state/lists" -o "Dir::State::status=$apt_state/status"
    -o "Dir::State::extended_states=$apt_state/extended_states"
    -o "Dir::Cache=$apt_state" -o "Dir::Cache::archives=$apt_state/archives"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o "Dir::Etc::sourcelist=$apt_state/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    -o APT::Install-Recommends=false -o APT::Sandbox::User=
    -o APT::Update::Error-Mode=any -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none
    -o Acquire::Retries=3)
}

# version_of PACKAGE: its version at the first mirror that has it; prints nothing where none has. From then on apt uses
# that mirror.
version_of() {
  local site version
  while read -r site; do
    echo "deb [arch=$architecture $keyring] $site $apt_suite main" > "$apt_state/sources.list"
    version=
    if apt-get "${apt[@]}" update >&2; then
      version=$(apt-cache "${apt[@]}" show "$1" 2> /dev/null | awk '/^Version: / && !found {print $2; found = 1}')
    fi
    if [ -n "$version" ]; then
      echo "$version"
      return
    fi
  done <<< "$sites"
}
