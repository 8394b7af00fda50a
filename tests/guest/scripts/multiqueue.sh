# SPDX-License-Identifier: GPL-2.0-or-later
# Four processors, four request queues: that each carries requests shows in its interrupts.

test_four_processors() {
    is "$(grep -c ^processor /proc/cpuinfo)" 4
}

test_all_processors_read_and_write() {
    dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
    for cpu in 0 1 2 3; do
        (
            taskset -c $cpu cp /tmp/data "copy-$cpu"
            taskset -c $cpu dd if="copy-$cpu" of="/tmp/back-$cpu" bs=64k iflag=direct 2>/dev/null
            cmp /tmp/data "/tmp/back-$cpu"
        ) &
    done
    wait
    for cpu in 0 1 2 3; do
        cmp /tmp/data "/tmp/back-$cpu"
    done
}

test_several_queues_are_used() {
    cat /proc/interrupts
    used=$(awk '/virtio.*requests/ { n = 0; for (i = 2; i <= 5; i++) n += $i; if (n) used++ }
                END { print used + 0 }' /proc/interrupts)
    test "$used" -ge 4
}

test_many_small_requests_at_once() {
    for cpu in 0 1 2 3; do
        (
            mkdir "d$cpu"
            for i in $(seq 1 100); do echo "$i" >"d$cpu/$i"; done
        ) &
    done
    wait
    is "$(find d0 d1 d2 d3 -type f | wc -l)" 400
}
