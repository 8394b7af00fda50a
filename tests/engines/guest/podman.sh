# SPDX-License-Identifier: GPL-2.0-or-later
#
# podman, with crun. No network and no systemd: cgroups by hand, events in files.

podman_at() { # PLACE WORDS...
    local root=/var/lib/containers/storage place=$1
    [ "$place" = share ] || root=/mnt/disk/containers
    shift
    TMPDIR=$(folder "$place") podman --root "$root" --runroot "/run/podman-$place" \
        --tmpdir "/run/podman-$place/tmp" --cgroup-manager cgroupfs --events-backend file "$@"
}

e_start() {
    :
}

e_native() {
    podman_at "$1" info --format json >/run/info
    cat /run/info
    grep -q '"graphDriverName": "overlay"' /run/info
    grep -q '"Native Overlay Diff": "true"' /run/info
    grep -q '"Supports d_type": "true"' /run/info
    ! grep -q mount_program /run/info
}

e_import() {
    podman_at "$1" import -q "$2" "$3"
}

e_build() {
    podman_at "$1" build --layers --network none --pull=never \
        --build-arg "SETTINGS=$SETTINGS" -t "$2" -f $E/context/Dockerfile $E/context
}

e_run() {
    local place=$1 user=$2
    shift 2
    podman_at "$place" run --rm --network none -u "$user" -v $E/bin:/engines:ro "$@"
}

e_commit() {
    local place=$1 image=$2 new=$3
    shift 3
    podman_at "$place" run --network none --name changed "$image" "$@"
    podman_at "$place" commit -q changed "$new"
    podman_at "$place" rm -t 0 changed
}

e_save() {
    podman_at "$1" save -q -o "$3" "$2"
}

e_remove() {
    podman_at "$1" rmi -f "$2"
}

e_load() {
    podman_at "$1" load -q -i "$2"
}

e_export() {
    podman_at "$1" create --network none --name exported "$2" true >/dev/null
    podman_at "$1" export exported
    podman_at "$1" rm exported >/dev/null
}
