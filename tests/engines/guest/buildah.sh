# SPDX-License-Identifier: GPL-2.0-or-later
#
# buildah by itself: it has no images but those it builds, and a working container for each step.

buildah_at() { # PLACE WORDS...
    local root=/var/lib/containers/storage place=$1
    [ "$place" = share ] || root=/mnt/disk/containers
    shift
    TMPDIR=$(folder "$place") buildah --root "$root" --runroot "/run/buildah-$place" "$@"
}

e_start() {
    :
}

e_native() {
    buildah_at "$1" info >/run/info
    cat /run/info
    grep -q '"GraphDriverName": "overlay"' /run/info
    grep -q '"Native Overlay Diff": "true"' /run/info
    grep -q '"Supports d_type": "true"' /run/info
    ! grep -q mount_program /run/info
}

e_import() {
    local name
    name=$(buildah_at "$1" from scratch)
    buildah_at "$1" add -q "$name" "$2" /
    buildah_at "$1" commit -q --rm "$name" "$3"
}

e_build() {
    buildah_at "$1" build --layers --network none --pull=never \
        --build-arg "SETTINGS=$SETTINGS" -t "$2" -f $E/context/Dockerfile $E/context
}

e_run() {
    local place=$1 user=$2 image=$3 name
    shift 3
    name=$(buildah_at "$place" from --pull=never "$image")
    buildah_at "$place" run --network none --user "$user" -v $E/bin:/engines:ro "$name" -- "$@"
    buildah_at "$place" rm "$name" >/dev/null
}

e_commit() {
    local place=$1 image=$2 new=$3 name
    shift 3
    name=$(buildah_at "$place" from --pull=never "$image")
    buildah_at "$place" run --network none "$name" -- "$@"
    buildah_at "$place" commit -q --rm "$name" "$new"
}

e_save() {
    buildah_at "$1" push -q "$2" "docker-archive:$3:localhost/$2:latest"
}

e_remove() {
    buildah_at "$1" rmi -f "$2"
}

e_load() {
    buildah_at "$1" pull -q "docker-archive:$2"
}

e_export() {
    local name point
    name=$(buildah_at "$1" from --pull=never "$2")
    point=$(buildah_at "$1" mount "$name")
    tar -C "$point" --xattrs --xattrs-include='*' -cpf - .
    buildah_at "$1" rm "$name" >/dev/null
}
