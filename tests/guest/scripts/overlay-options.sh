# SPDX-License-Identifier: GPL-2.0-or-later
# The mount options of overlayfs: with each an upper is mounted, used, unmounted and mounted again
# with empty caches. Lower, upper and work lie on the share, so that the script overlay-again can go
# on after the daemon and the machine were started anew.

M=/options

options_of() { # VARIANT
    case $1 in
    userxattr) echo ,userxattr ;;
    metacopy) echo ,metacopy=on,redirect_dir=on ;;
    volatile) echo ,volatile ;;
    noindex) echo ,index=off ;;
    kata) echo ,index=on,redirect_dir=on,metacopy=on,xino=auto ;;
    esac
}

mount_variant() { # VARIANT
    mkdir -p $M
    rm -rf "$D/$1/work/work/incompat/volatile" # the administrator's word that all is well
    mount -t overlay overlay \
        -o "lowerdir=$D/$1/lower,upperdir=$D/$1/upper,workdir=$D/$1/work$(options_of $1)" $M
    grep -q "^overlay $M overlay rw" /proc/mounts
}

fill_variant() { # VARIANT
    mkdir -p "$1/lower/dir/sub" "$1/lower/gone" "$1/lower/moved" "$1/upper" "$1/work"
    for name in changed deleted recreated attributes dir/file dir/sub/file gone/file moved/file; do
        echo "lower $name" >"$1/lower/$name"
    done
    ln -s target "$1/lower/link"
    echo linked >"$1/lower/hard1"
    ln "$1/lower/hard1" "$1/lower/hard2"
}

use_variant() {
    echo more >>$M/changed
    chmod 600 $M/attributes
    rm $M/deleted $M/recreated
    mkdir $M/recreated
    rm -r $M/gone
    mkdir $M/gone
    mv $M/moved $M/elsewhere
    mv $M/dir/file $M/dir/sub/renamed
    chown -h 7:8 $M/link
    echo "by the first" >>$M/hard1
    if grep "^overlay $M " /proc/mounts | grep -q index=on; then
        is "$(cat $M/hard2)" "$(cat $M/hard1)"
        is "$(stat -c %i:%h $M/hard2)" "$(stat -c %i:%h $M/hard1)"
    fi
    ln $M/changed $M/changed-too
    echo "and again" >>$M/changed
}

remount_variant() { # VARIANT
    guestfs-tool tree $M >/tmp/variant-before
    umount $M
    drop_caches
    mount_variant $1
    guestfs-tool tree $M | diff /tmp/variant-before -
    echo later >$M/later
    mv $M/elsewhere $M/farther
    is "$(cat $M/farther/file)" "lower moved/file"
    # A copy-up of what is only metadata so far.
    is "$(cat $M/attributes)" "lower attributes"
    echo data >>$M/attributes
    guestfs-tool tree $M >"$1/tree"
    umount $M
    mount_variant $1
    guestfs-tool tree $M | diff "$1/tree" -
    umount $M
}

try_variant() {
    cd "$D"
    fill_variant $1
    mount_variant $1
    use_variant
    remount_variant $1
}

test_default() {
    try_variant default
}

test_userxattr() {
    try_variant userxattr
}

test_metacopy_and_redirect() {
    try_variant metacopy
}

test_volatile() {
    try_variant volatile
}

test_index_off() {
    try_variant noindex
}

test_index_redirect_metacopy_xino_as_kata() {
    try_variant kata
}
