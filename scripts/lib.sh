# shellcheck shell=bash
# Functions shared by the scripts of this folder; sourced, never run.
# One word a line of progress goes to stderr, so that stdout stays a script's answer.

HELIOS_REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
HELIOS_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/helios
export HELIOS_REPO HELIOS_CACHE

say() { printf -- '-> %s\n' "$*" >&2; }
warn() { printf -- 'warning: %s\n' "$*" >&2; }
die() {
  printf -- 'error: %s\n' "$*" >&2
  exit 1
}
fail_with_log() {
  printf -- '--- last lines of %s\n' "$2" >&2
  tail -n 20 "$2" >&2 || true
  die "$1"
}
have() { command -v "$1" >/dev/null 2>&1; }
has_systemd() { [[ -d /run/systemd/system ]]; }

need_root() {
  [[ $EUID -eq 0 ]] || die "$(basename "$0") needs root; run it with sudo"
}

# usage_of FILE: the comment block under the first line of a script is its help.
usage_of() { sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//p}' "$1"; }

# node_arch: this machine in the names of npm's node-linux packages.
node_arch() {
  case $(uname -m) in
    x86_64) echo x64 ;;
    aarch64) echo arm64 ;;
    *) die "Helios runs on x86_64 and aarch64, not on $(uname -m)" ;;
  esac
}

version_ge() { dpkg --compare-versions "$1" ge "$2"; }

# wait_until SECONDS COMMAND...: try four times a second until it succeeds.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.25
  done
}

# alive PID WORD: a process that runs (a zombie does not) and has WORD in its command line.
alive() {
  local state
  [[ $1 =~ ^[0-9]+$ && -r /proc/$1/stat ]] || return 1
  state=$(sed 's/.*) \(.\) .*/\1/' "/proc/$1/stat" 2>/dev/null) || return 1
  [[ -n $state && $state != [ZX] ]] || return 1
  tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2"
}

not_alive() { ! alive "$1" "$2"; }

# end_process PID WORD [SECONDS]: SIGTERM, then SIGKILL, when it runs and has WORD in its command line.
end_process() {
  alive "$1" "$2" || return 0
  kill -TERM "$1" 2>/dev/null || true
  wait_until "${3:-40}" not_alive "$1" "$2" || {
    warn "process $1 ignores SIGTERM, killing it"
    kill -KILL "$1" 2>/dev/null || true
    wait_until 5 not_alive "$1" "$2" || true
  }
}

pid_in() { if [[ -s $1 ]]; then tr -dc 0-9 <"$1"; fi; }

short_hash() { printf '%s' "$1" | sha256sum | cut -c1-8; }

# apt_install PACKAGE...: installs what is missing; lists are refreshed at most once a run.
# A foreign source that does not answer is no reason to stop: the install itself decides.
apt_updated=''
apt_update() {
  [[ -z $apt_updated ]] || return 0
  apt_updated=1
  say 'apt-get update'
  apt-get update -qq >"$(apt_log)" 2>&1 || warn "apt-get update had errors, see $(apt_log)"
}
apt_log() { printf '%s' "${TMPDIR:-/tmp}/helios-apt.log"; }
is_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}
apt_install() {
  local missing=() package
  for package in "$@"; do is_installed "$package" || missing+=("$package"); done
  ((${#missing[@]})) || return 0
  need_root
  [[ $(apt-cache policy "${missing[@]}" 2>/dev/null | grep -c 'Candidate: [0-9]') -eq ${#missing[@]} ]] ||
    apt_update
  say "apt-get install ${missing[*]}"
  apt_get_install "${missing[@]}" || {
    apt_update
    apt_get_install "${missing[@]}" || {
      tail -n 15 "$(apt_log)" >&2
      die "apt-get could not install ${missing[*]}; install them by hand and run this again"
    }
  }
}
# One sync for all files instead of one for each: npm alone brings hundreds of packages, and minutes.
apt_get_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Options::=--force-unsafe-io "$@" >"$(apt_log)" 2>&1 </dev/null && sync
}

# apt_sources: the machine's package sources, one line each: suite, URI, keyring ("-": apt's
# default), from sources.list and sources.list.d in both formats. Flat ones are left out.
apt_sources() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    case $file in
      *.list) [[ -r $file ]] && one_line_sources "$file" ;;
      *.sources) [[ -r $file ]] && deb822_sources "$file" ;;
    esac
  done
  return 0
}
one_line_sources() {
  awk '$1 == "deb" {
    key = "-"
    line = $0
    if (match(line, /\[[^]]*\]/)) {
      options = substr(line, RSTART + 1, RLENGTH - 2)
      if (match(options, /signed-by=[^ ,]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
      sub(/\[[^]]*\]/, "", line)
    }
    split(line, part, " ")
    print part[3], part[2], key
  }' "$1"
}
deb822_sources() {
  awk -v RS= -F '\n' '{
    uris = suites = ""; key = "-"; type = 0; on = 1
    for (i = 1; i <= NF; i++) {
      value = $i; sub(/^[^:]*: */, "", value)
      name = tolower($i); sub(/:.*/, "", name)
      if (name == "types") type = (" " value " ") ~ / deb /
      if (name == "enabled") on = tolower(value) !~ /^(no|false|0)/
      if (name == "uris") uris = value
      if (name == "suites") suites = value
      if (name == "signed-by" && value ~ /^\//) { split(value, keys, /[ ,]+/); key = keys[1] }
    }
    if (!type || !on) next
    n = split(suites, s, " "); m = split(uris, u, " ")
    for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print s[i], u[j], key
  }' < <(grep -v '^#' "$1")
}

# debian_source: "URI KEYRING" of a Debian mirror: $HELIOS_DEBIAN_MIRROR, else the source this
# machine installs its own Debian release from.
debian_source() {
  local codename suite uri key
  if [[ -n ${HELIOS_DEBIAN_MIRROR:-} ]]; then
    key=-
    if [[ $(os_release ID) != debian ]]; then
      # A mirror is trusted for the signature on it, so the keys come from this machine's own source.
      apt_install debian-archive-keyring
      key=/usr/share/keyrings/debian-archive-keyring.gpg
    fi
    printf '%s %s\n' "$HELIOS_DEBIAN_MIRROR" "$key"
    return
  fi
  [[ $(os_release ID) == debian ]] || return 1
  codename=$(os_release VERSION_CODENAME)
  while read -r suite uri key; do
    [[ $suite == "$codename" || $suite == stable || $suite == oldstable ]] || continue
    printf '%s %s\n' "$uri" "$key"
    return 0
  done < <(apt_sources)
  return 1
}
os_release() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" /etc/os-release; }
