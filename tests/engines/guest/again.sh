# SPDX-License-Identifier: GPL-2.0-or-later
#
# The share again, after a host has copied the outer upper directory with its own tools: the images
# that were built before are the same as they were, run, and are built upon.

expected() { # NAME
    diff /var/lib/engines/"$1" $OUT/share/"$1" | head -n 10
    cmp /var/lib/engines/"$1" $OUT/share/"$1"
}

test_engine_starts() { e_start share; e_native share; }
test_built_is_as_it_was() { tree share built built; expected built; }
test_loaded_is_as_it_was() { tree share committed loaded; expected loaded; }
test_runs_as_root() { run_as share 0; expected run-0; }
test_runs_as_1000() { run_as share 1000; expected run-1000; }
test_commits_once_more() { e_commit share committed more sh -ec 'rm /t/modified; echo 1 >/t/modified'; }
