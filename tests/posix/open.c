/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * open(2): each kind of thing, with each access mode and each flag that changes what happens. The
 * expected errno comes from rules in the order in which Linux looks at them.
 */
#include "posix.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int flags;
} accesses[] = {{"read", O_RDONLY}, {"write", O_WRONLY}, {"read and write", O_RDWR}};

static const struct {
    const char *name;
    int flags;
} extras[] = {
    {"", 0},
    {" O_CREAT", O_CREAT},
    {" O_CREAT|O_EXCL", O_CREAT | O_EXCL},
    {" O_TRUNC", O_TRUNC},
    {" O_CREAT|O_TRUNC", O_CREAT | O_TRUNC},
    {" O_APPEND", O_APPEND},
    {" O_DIRECTORY", O_DIRECTORY},
    {" O_NOFOLLOW", O_NOFOLLOW},
    {" O_CREAT|O_NOFOLLOW", O_CREAT | O_NOFOLLOW},
    {" O_DIRECTORY|O_NOFOLLOW", O_DIRECTORY | O_NOFOLLOW},
    {" O_PATH", O_PATH},
    {" O_PATH|O_NOFOLLOW", O_PATH | O_NOFOLLOW},
    {" O_PATH|O_DIRECTORY", O_PATH | O_DIRECTORY},
};

static bool is_link(enum kind kind)
{
    return kind == LINK_TO_FILE || kind == LINK_TO_DIR || kind == DANGLING || kind == LOOPING;
}

/* What a name leads to once links are followed. */
static enum kind followed(enum kind kind)
{
    switch (kind) {
    case LINK_TO_FILE:
        return FILE_KIND;
    case LINK_TO_DIR:
        return EMPTY_DIR;
    case DANGLING:
        return MISSING;
    default:
        return kind;
    }
}

static int expect_link_itself(int flags)
{
    if (flags & O_DIRECTORY) {
        return ENOTDIR;
    }
    return flags & O_PATH ? 0 : ELOOP;
}

static int expect(enum kind kind, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;

    if ((flags & O_CREAT) && (flags & O_EXCL) && kind != MISSING) {
        return EEXIST;
    }
    if (is_link(kind) && (flags & O_NOFOLLOW)) {
        return expect_link_itself(flags);
    }
    if (kind == LOOPING) {
        return ELOOP;
    }
    kind = followed(kind);
    if (kind == MISSING) {
        return flags & O_CREAT ? 0 : ENOENT;
    }
    if (kind == EMPTY_DIR || kind == FULL_DIR) {
        if (flags & O_PATH) {
            return 0;
        }
        return (flags & (O_CREAT | O_TRUNC)) || writes ? EISDIR : 0;
    }
    if (flags & O_DIRECTORY) {
        return ENOTDIR;
    }
    if (flags & O_PATH) {
        return 0;
    }
    if (kind == SOCKET || kind == CHAR_DEVICE) {
        return ENXIO;
    }
    return kind == FIFO && (flags & O_ACCMODE) == O_WRONLY ? ENXIO : 0;
}

static void open_one(enum kind kind, size_t access, size_t extra)
{
    int flags = accesses[access].flags | extras[extra].flags;
    int expected = expect(kind, flags);
    int fd = -1;

    make("x", kind);
    fd = open("x", flags | O_NONBLOCK | O_CLOEXEC, 0640);
    if (kind == CHAR_DEVICE && fd < 0 && errno == EACCES) {
        errno = ENXIO; /* mounted nodev: the kernel looks at that first */
    }
    check_call(fd, expected, "%s of %s%s: %s", accesses[access].name, kind_names[kind],
               extras[extra].name, errno_name(expected));
    if (fd < 0 || (flags & O_PATH)) {
        close(fd);
        return;
    }
    if (flags & O_TRUNC) {
        struct stat st;

        must(fstat(fd, &st), "fstat");
        check_is(st.st_size, 0, "%s of %s%s empties it", accesses[access].name, kind_names[kind],
                 extras[extra].name);
    }
    close(fd);
    if (kind == MISSING) {
        check_is(stat_of("x").st_mode, S_IFREG | 0640, "%s%s makes a file of mode 0640",
                 accesses[access].name, extras[extra].name);
    }
}

static void open_in_all_ways(void)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (size_t access = 0; access < LENGTH(accesses); access++) {
            for (size_t extra = 0; extra < LENGTH(extras); extra++) {
                open_one(kind, access, extra);
            }
        }
        clear("x");
    }
}

/* What may be done with a descriptor is what it was opened for. */
static void use_what_is_open(void)
{
    static const struct {
        const char *name;
        int flags;
        int read_errno, write_errno, truncate_errno;
    } rows[] = {
        {"O_RDONLY", O_RDONLY, 0, EBADF, EINVAL},
        {"O_WRONLY", O_WRONLY, EBADF, 0, 0},
        {"O_RDWR", O_RDWR, 0, 0, 0},
        {"O_RDWR|O_APPEND", O_RDWR | O_APPEND, 0, 0, 0},
        {"O_RDWR|O_SYNC", O_RDWR | O_SYNC, 0, 0, 0},
        {"O_RDWR|O_DSYNC", O_RDWR | O_DSYNC, 0, 0, 0},
        {"O_PATH", O_PATH, EBADF, EBADF, EBADF},
    };

    for (size_t i = 0; i < LENGTH(rows); i++) {
        char byte = 'b';
        int fd = -1;

        make("x", FILE_KIND);
        fd = (int)must(open("x", rows[i].flags), rows[i].name);
        check_call(read(fd, &byte, 1), rows[i].read_errno, "read with %s: %s", rows[i].name,
                   errno_name(rows[i].read_errno));
        check_call(write(fd, &byte, 1), rows[i].write_errno, "write with %s: %s", rows[i].name,
                   errno_name(rows[i].write_errno));
        check_call(ftruncate(fd, 3), rows[i].truncate_errno, "ftruncate with %s: %s", rows[i].name,
                   errno_name(rows[i].truncate_errno));
        check_call(fchmod(fd, 0600), rows[i].flags & O_PATH ? EBADF : 0, "fchmod with %s",
                   rows[i].name);
        check((fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND)) ==
                  (rows[i].flags & (O_ACCMODE | O_APPEND)),
              "F_GETFL after %s says so", rows[i].name);
        close(fd);
    }
}

/* The mode asked for, less the umask, also those that its maker could not open again. */
static void make_with_modes(void)
{
    static const mode_t modes[] = {0, 0444, 0200, 0644, 0777, 01777, 02755, 04755, 07777};
    static const mode_t masks[] = {0, 022, 077, 0777};

    for (size_t i = 0; i < LENGTH(modes); i++) {
        for (size_t j = 0; j < LENGTH(masks); j++) {
            mode_t left = modes[i] & ~masks[j];
            int fd = -1;

            clear("x");
            umask(masks[j]);
            fd = open("x", O_RDWR | O_CREAT | O_EXCL, modes[i]);
            umask(0);
            check_is(stat_of("x").st_mode & 07777, left, "open(%#o) with umask %#o: %#o", modes[i],
                     masks[j], left);
            check_call(write(fd, "w", 1), 0, "a file just made with %#o & ~%#o can be written",
                       modes[i], masks[j]);
            close(fd);
            clear("x");
            umask(masks[j]);
            must(mkdir("x", modes[i]), "mkdir");
            umask(0);
            check_is(stat_of("x").st_mode & 01777, left & 01777, "mkdir(%#o) with umask %#o: %#o",
                     modes[i], masks[j], left & 01777);
        }
    }
}

static void tmpfile_cases(void)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    struct stat st;

    if (fd < 0 && on_fuse && errno == EOPNOTSUPP) {
        check(true, "O_TMPFILE is refused as a whole (--tmpfile=off)");
        return;
    }
    check_call(fd, 0, "O_TMPFILE");
    must(fstat(fd, &st), "fstat");
    check_is(st.st_nlink, 0, "O_TMPFILE has no name");
    check_is(st.st_mode, S_IFREG | 0640, "O_TMPFILE has the mode asked for");
    check_call(write(fd, "12345", 5), 0, "O_TMPFILE can be written");
    check_call(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH), 0, "O_TMPFILE gets a name");
    check_is(stat_of("named").st_size, 5, "with its content");
    check_is((long long)inode_of("named"), (long long)st.st_ino, "and its inode number");
    close(fd);
    fd = (int)must(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640), "O_TMPFILE|O_EXCL");
    check_call(linkat(fd, "", AT_FDCWD, "never", AT_EMPTY_PATH), ENOENT,
               "O_TMPFILE|O_EXCL never gets a name");
    close(fd);
}

void open_cases(void)
{
    open_in_all_ways();
    use_what_is_open();
    make_with_modes();
    tmpfile_cases();
    check_call(open("y/z", O_RDONLY), ENOENT, "a path through nothing");
    make("y", FILE_KIND);
    check_call(open("y/z", O_RDONLY), ENOTDIR, "a path through a file");
    check_call(open("y/", O_RDONLY), ENOTDIR, "a file with a slash behind it");
    check_call(open("z/", O_RDWR | O_CREAT, 0644), EISDIR, "making a file with a slash behind it");
}
