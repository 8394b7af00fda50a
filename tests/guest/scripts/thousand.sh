# SPDX-License-Identifier: GPL-2.0-or-later
# A thousand files through the guest's cache, and once more after the cache was thrown away.

test_create() {
    dd if=/dev/urandom of=/tmp/random bs=1k count=64 2>/dev/null
    mkdir -p files
    for i in $(seq 1 1000); do
        echo "$i ${D}" >files/$i
    done
    # Every tenth is longer than a page.
    for i in $(seq 10 10 1000); do
        cat /tmp/random >>files/$i
    done
    is "$(ls files | wc -l)" 1000
}

test_checksum() {
    find files -type f | sort | xargs sha256sum >/tmp/sums
    is "$(wc -l </tmp/sums)" 1000
    cp /tmp/sums sums
}

test_same_when_read_again_from_the_host() {
    drop_caches
    sha256sum -c -s sums
}

test_nothing_is_lost_or_added() {
    drop_caches
    cmp sums /tmp/sums
    is "$(find files -type f | wc -l)" 1000
}
