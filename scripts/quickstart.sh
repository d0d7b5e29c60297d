# shellcheck shell=bash disable=SC2154
# The folder of a quickstart and its removal; sourced by scripts/quickstart, which sets dir, data,
# socket and everything.

readonly MARK=.helios-quickstart

docker_() { docker --host "unix://$socket" "$@"; }
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# write_file NAME: stdin becomes the file in the folder, by one rename.
write_file() {
  cat >"$dir/$1.new"
  mv -f "$dir/$1.new" "$dir/$1"
}

seconds_since() {
  awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

# step WHAT COMMAND...: says what begins, and how long it took.
step() {
  local from=$EPOCHREALTIME
  under_way=$1
  shift
  printf -- '== %s\n' "$under_way" >&2
  "$@"
  printf -- '   %s: %s s\n' "$under_way" "$(seconds_since "$from")" >&2
  under_way=''
}
# For a trap: what was under way when the script ended early.
tell_step() {
  local code=$?
  [[ $code == 0 || -z $under_way ]] ||
    warn "stopped at: $under_way; when that is mended, run the same command again"
}

# Only a folder that is new, empty, or made here before is taken, since --stop removes it whole.
claim_dir() {
  ((${#dir} <= 60)) || die "--dir $dir is too long for socket paths in it; take one of up to 60 letters"
  [[ $dir != *[[:cntrl:]]* ]] || die '--dir has control characters in its name'
  if [[ -e $dir && ! -e $dir/$MARK && -n $(ls -A "$dir" 2>/dev/null) ]]; then
    die "$dir is there and was not made by scripts/quickstart; name another folder with --dir"
  fi
  mkdir -p "$dir"
  chmod 700 "$dir"
  : >"$dir/$MARK"
  exec 9>"$dir/lock"
  flock -n 9 || die "another scripts/quickstart works in $dir; wait for its end"
  echo "$socket" | write_file socket
}

helios_runs() { alive "$(pid_in "$dir/helios.pid")" "$HELIOS_REPO/dist/main.js"; }

# What Helios started and what outlives it (the router, git of a push under way) has a path below
# the data folder in its command line or as its working folder. A person's own programs there
# (a pager, an editor) are not touched.
children() {
  local proc words
  for proc in /proc/[0-9]*; do
    mapfile -d '' words 2>/dev/null <"$proc/cmdline" || continue
    case ${words[0]-} in
      */caddy | caddy | */git | git | git-* | */git-* | */node | node) ;;
      *) continue ;;
    esac
    [[ "${words[*]} " == *"$data"[/\ ]* || $(readlink "$proc/cwd")/ == "$data"/* ]] || continue
    echo "${proc#/proc/}"
  done
}

stop() {
  if [[ ! -e $dir/$MARK ]]; then
    [[ ! -e $dir ]] || die "$dir was not made by scripts/quickstart, so it is left alone"
    say "nothing to stop: there is no $dir"
    remove_everything
    return
  fi
  need_root
  exec 9>"$dir/lock"
  flock -w 60 9 || die "another scripts/quickstart works in $dir and does not finish"
  socket=$(cat "$dir/socket" 2>/dev/null || echo "$socket")
  step 'end Helios and its router' stop_processes
  step 'remove its containers, networks and images' remove_from_engine
  remove_everything
  stop_engine
  rm -rf "$dir"
  say "removed $dir"
  [[ -n $everything ]] ||
    say 'base images and the build of Helios stay for the next start; --stop --all removes them too'
}

# What setup made and is of use to others as well, system packages aside.
remove_everything() {
  [[ -n $everything ]] || return 0
  local name
  if have docker && docker_ version >/dev/null 2>&1; then
    # By name: one that somebody's container runs from is refused, and stays.
    docker_ image ls --filter label=helios.base-image --format '{{.Repository}}:{{.Tag}}' |
      while read -r name; do docker_ image rm "$name" >/dev/null 2>&1 || warn "$name is in use"; done
  fi
  cd "$HELIOS_REPO"
  rm -rf dist node_modules .tools/caddy "$HELIOS_CACHE/base-images"
  rmdir .tools "$HELIOS_CACHE" 2>/dev/null || true
  say 'removed base images, dist, node_modules and .tools'
}

stop_processes() {
  local pid
  end_process "$(pid_in "$dir/helios.pid")" "$HELIOS_REPO/dist/main.js" 20
  for pid in $(children); do end_process "$pid" '' 20; done
}

remove_from_engine() {
  local label id
  id=$(cat "$data/server-id" 2>/dev/null | tr -dc 'a-zA-Z0-9_-' || true)
  [[ -n $id ]] || return 0
  label=label=helios.server=$id
  have docker || return 0
  if ! docker_ version >/dev/null 2>&1; then
    # Its containers lie in an engine that does not run, and would come back with it.
    [[ $socket == /var/run/docker.sock ]] ||
      die "the Docker Engine on $socket does not answer; start it and run this again"
    "$HELIOS_REPO/scripts/engine" start
  fi
  remove container rm -f -v <<<"$(docker_ ps -aq --filter "$label")"
  remove network rm <<<"$(docker_ network ls -q --filter "$label")"
  remove volume rm -f <<<"$(docker_ volume ls -q --filter "$label")"
  remove image rm -f <<<"$(docker_ image ls -aq --filter "$label" | sort -u)"
}
# remove KIND WORDS...: the things of that kind whose ids are on stdin.
remove() {
  local kind=$1 ids
  shift
  mapfile -t ids < <(grep . || true)
  ((${#ids[@]})) || return 0
  say "removing ${#ids[@]} $kind(s)"
  docker_ "$kind" "$@" "${ids[@]}" >/dev/null
}

stop_engine() {
  [[ -e $dir/engine-begun ]] || return 0
  if [[ -n $(docker_ ps -q 2>/dev/null) ]]; then
    say 'the Docker Engine goes on: it runs containers of others'
    return
  fi
  step 'stop the Docker Engine that was started here' "$HELIOS_REPO/scripts/engine" stop
}
