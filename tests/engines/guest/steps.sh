# SPDX-License-Identifier: GPL-2.0-or-later
#
# What every engine has to do, at both places; see guest/main for how these functions run.
#
# ENGINE.sh says how, in functions that get the place first:
#   e_start PLACE                  whatever must run before anything else can
#   e_native PLACE                 fails unless it works with the kernel's overlayfs, and with all of it
#   e_import PLACE TAR NAME        an image from the tar archive of a root file system
#   e_build PLACE NAME             an image from the context, a layer for each step, no network
#   e_run PLACE USER NAME WORDS    a command in a new container, with /run/engines/bin at /engines
#   e_commit PLACE NAME NEW WORDS  runs a command in a new container, and makes an image of that
#   e_save PLACE NAME FILE, e_remove PLACE NAME, e_load PLACE FILE
#   e_export PLACE NAME            writes the tar archive of a new container's root file system

# For the image's build.
SETTINGS="FILES=$FILES MEGABYTES=$MEGABYTES ACLS=$ACLS"

folder() { # PLACE: where that place keeps large files
    if [ "$1" = share ]; then echo /var/tmp; else echo /mnt/disk; fi
}

# What engines put into each container, and what is not of the image.
OUTSIDE="./proc ./sys ./dev ./run ./engines ./etc/hosts ./etc/resolv.conf ./etc/hostname
         ./etc/mtab ./.dockerenv"

tree() { # PLACE IMAGE FILE: what the image looks like from inside
    e_run "$1" 0 "$2" /engines/manifest / $OUTSIDE >"$OUT/$1/$3"
}

build() { # PLACE
    e_build "$1" built
    tree "$1" built built
}

run_as() { # PLACE USER
    e_run "$1" "$2" built sh /context/check.sh >"$OUT/$1/run-$2"
    cat "$OUT/$1/run-$2"
}

commit() { # PLACE
    e_commit "$1" built committed sh /context/change.sh
    tree "$1" committed committed
}

save_and_load() { # PLACE
    local file
    file=$(folder "$1")/saved.tar
    e_save "$1" committed "$file"
    e_remove "$1" committed
    e_load "$1" "$file"
    rm "$file"
    tree "$1" committed loaded
}

export_tree() { # PLACE
    local place
    place=$(folder "$1")/exported
    mkdir "$place"
    e_export "$1" committed | tar -C "$place" --xattrs --xattrs-include='*' -xpf -
    /run/engines/bin/manifest "$place" $OUTSIDE >"$OUT/$1/exported"
    rm -rf "$place"
}

test_engine_starts() { e_start share; e_start disk; }
test_share_has_native_overlay() { e_native share; }
test_share_imports() { e_import share $E/base.tar base; }
test_disk_imports() { e_import disk $E/base.tar base; }
test_share_builds() { build share; }
test_disk_builds() { build disk; }
test_images_are_the_same() { same built; }
test_share_runs_as_root() { run_as share 0; }
test_disk_runs_as_root() { run_as disk 0; same run-0; }
test_share_runs_as_1000() { run_as share 1000; }
test_disk_runs_as_1000() { run_as disk 1000; same run-1000; }
test_share_commits() { commit share; }
test_disk_commits() { commit disk; same committed; }
test_share_saves_and_loads() { save_and_load share; cmp $OUT/share/committed $OUT/share/loaded; }
test_disk_saves_and_loads() { save_and_load disk; same loaded; }
test_share_exports() { export_tree share; }
test_disk_exports() { export_tree disk; same exported; }
# For guest/again.sh, in the next life.
test_share_remembers() { mkdir -p /var/lib/engines; cp $OUT/share/* /var/lib/engines/; sync; }
