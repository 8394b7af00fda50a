# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest's overlayfs asks of its upper, asked of the share itself: each answer must be that of
# a file system with whiteouts, whatever the host stores.

is_whiteout() {
    is "$(guestfs-tool stat "$1" | sed 's/^\(chr\) .* \(size=0 rdev=0:0\)$/\1 \2/')" "chr size=0 rdev=0:0"
}

test_whiteout_is_a_device_0_0() {
    mknod w c 0 0
    is_whiteout w
    drop_caches
    is_whiteout w
    is "$(guestfs-tool dtype . | grep '^w ')" "w chr"
    is "$(ls -l w | cut -c1)" c
}

test_whiteout_is_shared_by_links() {
    ln w w2
    is_whiteout w2
    is "$(stat -c %i:%h w)" "$(stat -c %i:%h w2)"
    is "$(stat -c %h w)" 2
    rm w2
    is "$(stat -c %h w)" 1
}

test_whiteout_opens_nothing() {
    cat w 2>&1 | grep -q "No such device or address"
    readlink w && exit 1
    truncate -s 5 w 2>/dev/null && exit 1
    is_whiteout w
}

test_whiteout_takes_owner_and_times() {
    chown 5:6 w
    is "$(stat -c %u:%g w)" 5:6
    touch -d '2001-02-03 04:05:06' w
    is "$(stat -c %Y w)" "$(date -d '2001-02-03 04:05:06' +%s)"
    # Overlayfs wants to be able to set a mode; what then stands there it does not look at.
    chmod 600 w
    drop_caches
    is_whiteout w
}

test_whiteout_has_no_user_xattr() {
    is "$(guestfs-tool setxattr w user.a b)" "setxattr: EPERM"
    is "$(guestfs-tool listxattr w)" ""
}

test_rename_over_and_of_a_whiteout() {
    mknod w3 c 0 0
    echo text >f
    mv w3 w4
    is_whiteout w4
    mv f w4
    is "$(cat w4)" text
    mknod w5 c 0 0
    guestfs-tool rename plain w5 w4
    is_whiteout w4
    mkdir d
    is "$(guestfs-tool rename plain d w4)" "rename: ENOTDIR"
    is "$(guestfs-tool rename plain w4 d)" "rename: EISDIR"
    rm w4
    rmdir d
}

test_exchange_with_a_whiteout() {
    for kind in file dir link; do
        make $kind x
        mknod wx c 0 0
        guestfs-tool rename exchange x wx
        is_whiteout x
        holds $kind wx
        rm -r x wx
    done
}

make() { # KIND NAME
    case $1 in
    file) echo "is $1" >"$2" ;;
    dir) mkdir "$2" && echo "is $1" >"$2/inside" ;;
    empty) mkdir "$2" ;;
    link) ln -s "is $1" "$2" ;;
    whiteout) mknod "$2" c 0 0 ;;
    esac
}

holds() { # KIND NAME
    case $1 in
    file) is "$(cat "$2")" "is file" ;;
    dir) is "$(cat "$2/inside")" "is dir" ;;
    empty) is "$(ls -A "$2")" "" ;;
    link) is "$(readlink "$2")" "is link" ;;
    whiteout) is_whiteout "$2" ;;
    esac
}

test_rename_whiteout_to_an_absent_name() {
    mkdir -p sub
    for kind in file dir link whiteout; do
        for to in y sub/y; do
            make $kind x
            guestfs-tool rename whiteout x $to
            is_whiteout x
            holds $kind $to
            drop_caches
            is_whiteout x
            holds $kind $to
            rm -r x $to
        done
    done
}

test_rename_whiteout_to_a_present_name() {
    for pair in file:file file:link link:file link:link file:whiteout link:whiteout dir:empty; do
        for to in y sub/y; do
            make ${pair%:*} x
            make ${pair#*:} $to
            guestfs-tool rename whiteout x $to
            is_whiteout x
            holds ${pair%:*} $to
            is "$(ls sub | tr -d '\n')" "$(basename $to | grep -v "^$to$")"
            rm -r x $to
        done
    done
}

test_rename_whiteout_refuses_what_rename_refuses() {
    mkdir full empty
    echo 1 >full/inside
    echo 2 >file
    case $(guestfs-tool rename whiteout empty full) in *ENOTEMPTY | *EEXIST) ;; *) exit 1 ;; esac
    is "$(guestfs-tool rename whiteout empty file)" "rename: ENOTDIR"
    is "$(guestfs-tool rename whiteout file empty)" "rename: EISDIR"
    is "$(guestfs-tool rename whiteout absent file)" "rename: ENOENT"
    is "$(guestfs-tool rename whiteout-noreplace file full)" "rename: EEXIST"
    is "$(cat full/inside)$(cat file)" 12
    is "$(guestfs-tool rename whiteout full full/below)" "rename: EINVAL"
    guestfs-tool rename whiteout-noreplace file free
    is_whiteout file
    is "$(cat free)" 2
}

test_rename_whiteout_of_a_hard_link() {
    echo linked >h1
    ln h1 h2
    # Two names of one file: rename(2) leaves both, whatever the flags.
    guestfs-tool rename plain h1 h2
    is "$(cat h1)$(stat -c %h h1)" linked2
    guestfs-tool rename whiteout h1 h3
    is_whiteout h1
    is "$(stat -c %i:%h h2)" "$(stat -c %i:%h h3)"
}

test_overlay_xattrs_on_files_and_directories() {
    mkdir -p xd
    echo >xf
    for path in xd xf; do
        guestfs-tool setxattr $path trusted.overlay.opaque y
        guestfs-tool setxattr $path trusted.overlay.empty ""
        drop_caches
        is "$(guestfs-tool getxattr $path trusted.overlay.opaque)" y
        is "$(guestfs-tool getxattr $path trusted.overlay.empty)" ""
        is "$(guestfs-tool listxattr $path | sort | tr '\n' ' ')" \
            "trusted.overlay.empty trusted.overlay.opaque "
        guestfs-tool rmxattr $path trusted.overlay.opaque
        is "$(guestfs-tool getxattr $path trusted.overlay.opaque)" "getxattr: ENODATA"
        is "$(guestfs-tool rmxattr $path trusted.overlay.opaque)" "removexattr: ENODATA"
    done
}

test_overlay_xattrs_are_never_unsupported() {
    # EOPNOTSUPP would make overlayfs give up extended attributes for the whole mount.
    ln -s target xs
    is "$(guestfs-tool setxattr xs trusted.overlay.origin 1 | grep -v EPERM)" ""
    is "$(guestfs-tool getxattr xs trusted.overlay.opaque)" "getxattr: ENODATA"
    mkfifo xp
    is "$(guestfs-tool setxattr xp trusted.overlay.origin 1 | grep -v EPERM)" ""
}

test_stored_names_are_out_of_reach() {
    refuses guestfs-tool setxattr xf user.virtiofs.trusted.overlay.opaque y
    guestfs-tool listxattr xf | grep user.virtiofs && exit 1
    refuses guestfs-tool getxattr xf user.virtiofs.trusted.overlay.empty
    refuses ln -s /.virtiofsd-overlay-whiteout/char-0:0 reserved
    refuses touch .virtiofsd-overlay.mine
    is "$(ls -a /share | grep virtiofsd-overlay)" ""
}

test_capabilities_of_files() {
    [ "$DAEMON" = user ] && exit 0 # an ordinary user may set none that counts; the map keeps it
    echo program >cap
    guestfs-tool sethex cap security.capability 0100000200040000000000000000000000000000
    is "$(guestfs-tool gethex cap security.capability)" 0100000200040000000000000000000000000000
    echo more >>cap
    is "$(guestfs-tool getxattr cap security.capability)" "getxattr: ENODATA"
}

test_ioctl_says_enotty() {
    case $(guestfs-tool flags xf) in 0x* | *ENOTTY) ;; *) exit 1 ;; esac
}

test_other_devices() {
    [ "$DAEMON" = user ] && exit 0 # mknod(2) wants CAP_MKNOD
    mknod null c 1 3
    drop_caches
    is "$(guestfs-tool stat null | sed 's/ .*rdev/ rdev/')" "chr rdev=1:3"
    echo gone >null
    mknod block b 7 0
    is "$(guestfs-tool stat block | sed 's/ .*rdev/ rdev/')" "blk rdev=7:0"
}

test_tmpfile_is_whole_or_refused() {
    said=$(guestfs-tool tmpfile . unnamed text) || :
    is "$said" "tmpfile: EOPNOTSUPP" || is "$(cat unnamed)" text
}

test_stays_after_drop_caches() {
    guestfs-tool tree . >/tmp/raw-before
    drop_caches
    guestfs-tool tree . | diff /tmp/raw-before -
}
