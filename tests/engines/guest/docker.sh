# SPDX-License-Identifier: GPL-2.0-or-later
#
# Docker: one dockerd for each place, with a containerd of its own. FLAVOUR "docker" is its overlay2
# driver; "docker-snapshotter" keeps images with containerd's overlayfs snapshotter instead.

docker_at() { # PLACE WORDS...
    local place=$1
    shift
    DOCKER_BUILDKIT=0 docker -H "unix:///run/docker-$place.sock" "$@"
}

e_start() {
    local place=$1 root=/var/lib/docker words='"storage-driver": "overlay2"'
    [ "$place" = share ] || root=/mnt/disk/docker
    [ "$FLAVOUR" = docker ] || words='"features": { "containerd-snapshotter": true }'
    echo "{ $words }" >"/run/docker-$place.json"
    mkdir -p "$root"
    DOCKER_TMPDIR=$(folder "$place") setsid dockerd --config-file "/run/docker-$place.json" \
        -H "unix:///run/docker-$place.sock" --data-root "$root" --exec-root "/run/docker-$place" \
        --pidfile "/run/docker-$place.pid" --bridge none --iptables=false --ip6tables=false \
        --exec-opt native.cgroupdriver=cgroupfs >"/run/docker-$place.log" 2>&1 </dev/null &
    for i in $(seq 1 600); do
        docker_at "$place" version >/dev/null 2>&1 && return 0
        kill -0 $! || break
        sleep 1
    done
    tail -n 20 "/run/docker-$place.log"
    return 1
}

e_native() {
    docker_at "$1" info --format '{{json .}}' >/run/info
    cat /run/info
    if [ "$FLAVOUR" = docker ]; then
        grep -q '"Driver":"overlay2"' /run/info
        grep -q '\["Native Overlay Diff","true"\]' /run/info
        grep -q '\["Supports d_type","true"\]' /run/info
    else
        grep -q '"Driver":"overlayfs"' /run/info
        grep -q 'io.containerd.snapshotter.v1' /run/info
    fi
}

e_import() {
    docker_at "$1" import "$2" "$3"
}

e_build() {
    docker_at "$1" build --network none --build-arg "FILES=$FILES" \
        --build-arg "MEGABYTES=$MEGABYTES" -t "$2" $E/context
}

e_run() {
    local place=$1 user=$2
    shift 2
    docker_at "$place" run --rm --network none -u "$user" -v $E/bin:/engines:ro "$@"
}

e_commit() {
    local place=$1 image=$2 new=$3
    shift 3
    docker_at "$place" run --network none --name changed "$image" "$@"
    docker_at "$place" commit changed "$new"
    docker_at "$place" rm changed
}

e_save() {
    docker_at "$1" save -o "$3" "$2"
}

e_remove() {
    docker_at "$1" rmi -f "$2"
}

e_load() {
    docker_at "$1" load -i "$2"
}

e_export() {
    docker_at "$1" create --network none --name exported "$2" true >/dev/null
    docker_at "$1" export exported
    docker_at "$1" rm exported >/dev/null
}
