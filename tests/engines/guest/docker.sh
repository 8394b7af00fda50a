# SPDX-License-Identifier: GPL-2.0-or-later
#
# Docker: one dockerd for each place, with a containerd of its own, which we start ourselves: dockerd
# would wait fifteen seconds for it, less than it takes in an emulated guest. FLAVOUR "docker" is its
# overlay2 driver; "docker-snapshotter" keeps images with containerd's overlayfs snapshotter instead.

docker_at() { # PLACE WORDS...
    local place=$1
    shift
    DOCKER_BUILDKIT=0 docker -H "unix:///run/docker-$place.sock" "$@"
}

await() { # PLACE COMMAND...: until it succeeds, as long as what was started last is there
    local place=$1
    shift
    while ! "$@" >/dev/null 2>&1; do
        if ! kill -0 $!; then
            tail -n 20 "/run/docker-$place.log"
            return 1
        fi
        sleep 1
    done
}

e_start() {
    local place=$1 root=/var/lib/docker words='"storage-driver": "overlay2"'
    [ "$place" = share ] || root=/mnt/disk/docker
    [ "$FLAVOUR" = docker ] || words='"features": { "containerd-snapshotter": true }'
    echo "{ $words }" >"/run/docker-$place.json"
    mkdir -p "$root"
    cat >"/run/containerd-$place.toml" <<EOT
version = 2
root = "$root/containerd"
state = "/run/containerd-$place"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd-$place.sock"
EOT
    setsid containerd --config "/run/containerd-$place.toml" >"/run/docker-$place.log" 2>&1 </dev/null &
    await "$place" ctr -a "/run/containerd-$place.sock" version
    DOCKER_TMPDIR=$(folder "$place") setsid dockerd --config-file "/run/docker-$place.json" \
        --containerd "/run/containerd-$place.sock" \
        -H "unix:///run/docker-$place.sock" --data-root "$root" --exec-root "/run/docker-$place" \
        --pidfile "/run/docker-$place.pid" --bridge none --iptables=false --ip6tables=false \
        --exec-opt native.cgroupdriver=cgroupfs >>"/run/docker-$place.log" 2>&1 </dev/null &
    await "$place" docker_at "$place" version
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
    docker_at "$1" build --network none --build-arg "SETTINGS=$SETTINGS" -t "$2" $E/context
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
