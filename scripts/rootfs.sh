# shellcheck shell=bash disable=SC2154
# The Debian root folder all base images stand on; sourced by scripts/base-images, which sets
# cache, work, mirror and keyring.

readonly SUITE=bookworm

need_mirror() {
  local source
  [[ -z $mirror ]] || return 0
  source=$(debian_source) ||
    die 'no image registry answers and no Debian mirror is set up on this machine; name a mirror with
       HELIOS_DEBIAN_MIRROR=URL, or bring the images from another machine with "docker save" and
       "docker load"'
  read -r mirror keyring <<<"$source"
  # Cloud images name a file that lists mirrors.
  if [[ $mirror == mirror+file:* ]]; then mirror=$(grep -m1 -o '^[^ #]*://[^ ]*' "${mirror#mirror+file:}"); fi
}

# Sources of the images: the machine's mirror, never its credentials.
image_sources() {
  local suite uri key
  echo "deb $mirror $SUITE main"
  echo "deb $mirror $SUITE-updates main"
  while read -r suite uri key; do
    [[ $suite == *-security && $key$uri == *[Dd]ebian* && $uri != mirror+* ]] || continue
    echo "deb $uri $SUITE-security main"
    break
  done < <(apt_sources)
}
without_credentials() { sed 's#://[^/@ ]*@#://#'; }

make_rootfs() {
  local keys=() log=$cache/debootstrap.log root=$work/rootfs
  need_mirror
  apt_install debootstrap
  [[ $keyring == - ]] || keys=(--keyring="$keyring")
  mkdir -p "$cache/debs"
  say "debootstrap $SUITE (half a minute; log $log)"
  debootstrap --variant=minbase --cache-dir="$cache/debs" "${keys[@]}" "$SUITE" "$root" "$mirror" \
    >"$log" 2>&1 || { tail -n 15 "$log" >&2 && die 'debootstrap failed'; }
  slim_rules "$root"
  in_root "$root" 'apt-get -qq update && apt-get -qq -y upgrade'
  image_sources | without_credentials >"$root/etc/apt/sources.list"
  trim "$root"
  tar -C "$root" --numeric-owner --sort=name -cf "$work/rootfs.tar" .
  rm -rf "$cache/debs" "$cache"/*.tar
  mv "$work/rootfs.tar" "$cache/rootfs.tar"
}

# What Debian's own slim images tell dpkg and apt.
slim_rules() {
  local name
  mkdir -p "$1/etc/dpkg/dpkg.cfg.d" "$1/etc/apt/apt.conf.d"
  {
    for name in doc man info locale groff lintian linda; do
      echo "path-exclude /usr/share/$name/*"
    done
    echo 'path-include /usr/share/doc/*/copyright'
    echo 'path-include /usr/share/locale/locale.alias'
    echo force-unsafe-io
  } >"$1/etc/dpkg/dpkg.cfg.d/docker"
  cat >"$1/etc/apt/apt.conf.d/docker-slim" <<'CONF'
APT::AutoRemove::SuggestsImportant "false";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
CONF
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod 755 "$1/usr/sbin/policy-rc.d"
}

trim() {
  local root=$1 name
  for name in man info locale groff lintian linda; do
    find "$root/usr/share/$name" -mindepth 1 ! -name locale.alias -delete 2>/dev/null || true
  done
  find "$root/usr/share/doc" -type f ! -name copyright -delete
  find "$root/usr/share/doc" -type l -delete
  find "$root/usr/share/doc" -depth -type d -empty -delete
  find "$root/var/lib/apt/lists" "$root/var/cache/apt" "$root/var/log" -type f -delete
  rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/etc/*- \
    "$root"/var/cache/ldconfig/aux-cache "$root"/tmp/* "$root"/run/* "$root"/root/.cache
  : >"$root/etc/machine-id"
  : >"$root/etc/resolv.conf"
  echo localhost >"$root/etc/hostname"
}

# in_root ROOT COMMANDS: run them in the folder with this machine's ways to reach its mirror
# (name servers, proxy, CA, credentials), which are taken out again. The mount namespace ends
# with the command, so nothing stays mounted whatever happens; only where the root folder of this
# shell is no mount of its own (a chroot) can what is mounted show outside of it.
in_root() {
  local root=$1 conf=$1/etc/apt/apt.conf.d/zz-machine alone=private
  unshare -m true 2>/dev/null || alone=unchanged
  mkdir -p "$root/etc/apt/auth.conf.d"
  image_sources >"$root/etc/apt/sources.list"
  apt-config dump Acquire | grep -iE 'proxy|verify|timeout|check-' >"$conf" || true
  if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then
    cp /etc/ssl/certs/ca-certificates.crt "$root/tmp/machine-ca.crt"
    echo 'Acquire::https::CAInfo "/tmp/machine-ca.crt";' >>"$conf"
  fi
  cat /etc/apt/auth.conf /etc/apt/auth.conf.d/* >"$root/etc/apt/auth.conf" 2>/dev/null || true
  if [[ -n $keyring && $keyring != - ]]; then cp "$keyring" "$root/etc/apt/trusted.gpg.d/"; fi
  cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
  # shellcheck disable=SC2016
  unshare -m --propagation "$alone" bash -euc 'mount -t proc proc "$0/proc"
    trap "umount \"\$0/proc\"" EXIT
    env -i LC_ALL=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$0" sh -euc "$1"' "$root" "$2" \
    >"$cache/chroot.log" 2>&1 </dev/null || {
    tail -n 15 "$cache/chroot.log" >&2
    die "this failed in $root: $2"
  }
  rm -f "$conf" "$root/etc/apt/auth.conf" "$root/tmp/machine-ca.crt" "$root/etc/hosts"
  if [[ -n $keyring && $keyring != - ]]; then rm -f "$root/etc/apt/trusted.gpg.d/${keyring##*/}"; fi
}
