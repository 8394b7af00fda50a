# SPDX-License-Identifier: GPL-2.0-or-later
# What one boot leaves, the next boot of the same machine reads, through the same daemon.

test_files_of_the_boot_before_are_whole() {
    if [ "$BOOT" -gt 1 ]; then
        cd "/share/reboot.$((BOOT - 1))"
        sha256sum -c -s sums
        is "$(ls tree | wc -l)" 50
    fi
}

test_write_for_the_next_boot() {
    mkdir tree
    for i in $(seq 1 50); do
        head -c "$((i * 1000))" /dev/urandom >"tree/$i"
    done
    sha256sum tree/* >sums
    sync
}
