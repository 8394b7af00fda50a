/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A body for each opcode.
 */
#include "fuse_grammar.h"

#include <fcntl.h>
#include <glib.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "base/compat.h"

uint64_t take(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    bytes = MIN(bytes, in->left);
    memcpy(&value, in->data, bytes);
    in->data += bytes;
    in->left -= bytes;
    return value;
}

uint64_t take_number(struct input *in)
{
    static const uint64_t edges[] = {0,         1,          4095,      4096,      0x7fffffff,
                                     INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint8_t how = (uint8_t)take(in, 1);

    if (how < 0xc0) {
        return how * 7;
    }
    return how < 0xe0 ? edges[how % G_N_ELEMENTS(edges)] : take(in, how % 8 + 1);
}

void remember(uint64_t *list, unsigned *n, uint64_t value)
{
    list[(*n)++ % KNOWN_MAX] = value;
}

static uint64_t take_known(struct guest *g, const uint64_t *list, unsigned n, uint64_t other)
{
    uint8_t how = (uint8_t)take(&g->in, 1);

    if (how >= 0xf8) {
        return take(&g->in, 8);
    }
    n = MIN(n, KNOWN_MAX);
    return how % 4 == 3 || n == 0 ? other : list[how % n];
}

uint64_t take_nodeid(struct guest *g)
{
    return take_known(g, g->nodeids, g->n_nodeids, FUSE_ROOT_ID);
}

static uint64_t take_fh(struct guest *g)
{
    return take_known(g, g->fhs, g->n_fhs, 0);
}

void put(struct guest *g, const void *bytes, size_t size)
{
    size = MIN(size, BODY_MAX - g->len);
    memcpy(g->body + g->len, bytes, size);
    g->len += size;
}

void put_fill(struct guest *g, size_t size)
{
    size = MIN(size, BODY_MAX - g->len);
    memset(g->body + g->len, 'd', size);
    g->len += size;
}

static void put_string(struct guest *g, const char *text)
{
    put(g, text, strlen(text) + 1);
}

static void put_name(struct guest *g)
{
    static const char *const names[] = {"a",
                                        "b",
                                        "c",
                                        "dir",
                                        "dir2",
                                        "work",
                                        "f",
                                        ".",
                                        "..",
                                        "",
                                        "a/b",
                                        "outside",
                                        "../outside",
                                        "\xff\xfe",
                                        ".virtiofsd-overlay.journal",
                                        ".virtiofsd-overlay.tmp.00000000"};
    uint8_t how = (uint8_t)take(&g->in, 1);

    if (how < 0xf0) {
        put_string(g, names[how % 3 ? how % 7 : how % G_N_ELEMENTS(names)]);
    } else if (how < 0xf8) {
        put_fill(g, 252u + how % 8); /* around the longest name */
        put(g, "", 1);
    } else {
        uint64_t raw = take(&g->in, 8);

        put(g, &raw, sizeof(raw));
        put(g, "", how % 2);
    }
}

static void put_target(struct guest *g)
{
    static const char *const targets[] = {
        "a", "../outside", "/", "/etc", "dir/..", "", "/.virtiofsd-overlay-whiteout/char-0:0"};
    uint8_t how = (uint8_t)take(&g->in, 1);

    if (how == 0xff) {
        put_fill(g, 4090u + (size_t)take(&g->in, 1) % 12);
        put(g, "", 1);
    } else {
        put_string(g, targets[how % G_N_ELEMENTS(targets)]);
    }
}

static void put_xattr_name(struct guest *g)
{
    static const char *const names[] = {"user.a",
                                        "trusted.overlay.opaque",
                                        "trusted.overlay.origin",
                                        "security.capability",
                                        "user.virtiofs.trusted.overlay.opaque",
                                        "user.virtiofs.security.capability",
                                        "system.posix_acl_access",
                                        "",
                                        "x"};
    uint8_t how = (uint8_t)take(&g->in, 1);

    if (how == 0xff) {
        put_string(g, "user.");
        g->len--;
        put_fill(g, 245u + (size_t)take(&g->in, 1) % 12);
        put(g, "", 1);
    } else {
        put_string(g, names[how % G_N_ELEMENTS(names)]);
    }
}

static uint32_t take_open_flags(struct guest *g)
{
    static const uint32_t flags[] = {O_RDONLY,
                                     O_WRONLY,
                                     O_RDWR,
                                     3,
                                     O_RDWR | O_TRUNC,
                                     O_WRONLY | O_APPEND,
                                     O_RDWR | O_EXCL,
                                     O_RDWR | O_DIRECT,
                                     O_RDONLY | O_NOATIME | O_NONBLOCK};
    uint8_t how = (uint8_t)take(&g->in, 1);

    return how < 0xf0 ? flags[how % G_N_ELEMENTS(flags)] : (uint32_t)take(&g->in, 4);
}

static uint32_t take_mode(struct guest *g)
{
    static const uint32_t modes[] = {
        0644,          0755,           02755,          04755,           0,
        S_IFCHR | 0,   S_IFCHR | 0600, S_IFIFO | 0600, S_IFSOCK | 0600, S_IFREG | 0644,
        S_IFDIR | 0755};
    uint8_t how = (uint8_t)take(&g->in, 1);

    return how < 0xf0 ? modes[how % G_N_ELEMENTS(modes)] : (uint32_t)take(&g->in, 4);
}

/* --- bodies, one function for each family of opcodes --- */

static void body_init(struct guest *g)
{
    struct fuse_init_in in = {.major = 7,
                              .minor = (uint32_t)(take(&g->in, 1) % 50),
                              .max_readahead = (uint32_t)take_number(&g->in),
                              .flags = (uint32_t)take(&g->in, 4) | FUSE_INIT_EXT,
                              .flags2 = (uint32_t)take(&g->in, 4)};

    in.minor = in.minor < 20 ? 45 : in.minor;
    put(g, &in, take(&g->in, 1) % 8 ? sizeof(in) : 16);
}

static void body_name(struct guest *g)
{
    put_name(g);
}

static void body_none(struct guest *g)
{
    (void)g;
}

static void body_getattr(struct guest *g)
{
    struct fuse_getattr_in in = {.getattr_flags = (uint32_t)take(&g->in, 1) & 1, .fh = take_fh(g)};

    put(g, &in, sizeof(in));
}

static void body_setattr(struct guest *g)
{
    struct fuse_setattr_in in = {.valid = (uint32_t)take(&g->in, 2),
                                 .fh = take_fh(g),
                                 .size = take_number(&g->in),
                                 .atime = take_number(&g->in),
                                 .mtimensec = (uint32_t)take_number(&g->in),
                                 .mode = take_mode(g),
                                 .uid = (uint32_t)take_number(&g->in),
                                 .gid = (uint32_t)take_number(&g->in)};

    put(g, &in, sizeof(in));
}

static void body_mknod(struct guest *g)
{
    struct fuse_mknod_in in = {.mode = take_mode(g), .rdev = (uint32_t)take(&g->in, 1) & 3};

    put(g, &in, sizeof(in));
    put_name(g);
}

static void body_mkdir(struct guest *g)
{
    struct fuse_mkdir_in in = {.mode = take_mode(g)};

    put(g, &in, sizeof(in));
    put_name(g);
}

static void body_symlink(struct guest *g)
{
    put_name(g);
    put_target(g);
}

static void body_rename(struct guest *g)
{
    struct fuse_rename_in in = {.newdir = take_nodeid(g)};

    put(g, &in, sizeof(in));
    put_name(g);
    put_name(g);
}

static void body_rename2(struct guest *g)
{
    struct fuse_rename2_in in = {.newdir = take_nodeid(g), .flags = (uint32_t)take(&g->in, 1) % 12};

    put(g, &in, sizeof(in));
    put_name(g);
    put_name(g);
}

static void body_link(struct guest *g)
{
    struct fuse_link_in in = {.oldnodeid = take_nodeid(g)};

    put(g, &in, sizeof(in));
    put_name(g);
}

static void body_open(struct guest *g)
{
    struct fuse_open_in in = {.flags = take_open_flags(g),
                              .open_flags = (uint32_t)take(&g->in, 1) & 1};

    put(g, &in, sizeof(in));
}

static void body_create(struct guest *g)
{
    struct fuse_create_in in = {.flags = take_open_flags(g),
                                .mode = take_mode(g),
                                .open_flags = (uint32_t)take(&g->in, 1) & 1};

    put(g, &in, sizeof(in));
    put_name(g);
}

static void body_read(struct guest *g)
{
    struct fuse_read_in in = {
        .fh = take_fh(g), .offset = take_number(&g->in), .size = (uint32_t)take_number(&g->in)};

    put(g, &in, sizeof(in));
}

static void body_write(struct guest *g)
{
    struct fuse_write_in in = {.fh = take_fh(g),
                               .offset = take_number(&g->in),
                               .write_flags = (uint32_t)take(&g->in, 1) & 7};
    uint8_t how = (uint8_t)take(&g->in, 1);

    in.size = how == 0xff ? 70000u : how * 5u;
    put(g, &in, sizeof(in));
    put_fill(g, in.size);
}

static void body_release(struct guest *g)
{
    struct fuse_release_in in = {.fh = take_fh(g)};

    put(g, &in, sizeof(in));
}

static void body_fsync(struct guest *g)
{
    struct fuse_fsync_in in = {.fh = take_fh(g)};

    put(g, &in, sizeof(in));
}

static void body_flush(struct guest *g)
{
    struct fuse_flush_in in = {.fh = take_fh(g)};

    put(g, &in, sizeof(in));
}

static void body_setxattr(struct guest *g)
{
    uint8_t how = (uint8_t)take(&g->in, 1);
    struct fuse_setxattr_in in = {.size = how == 0xff ? 65536u : how,
                                  .flags = (uint32_t)take(&g->in, 1) & 3};
    bool is_long = atomic_load(&g->session.flags) & FUSE_SETXATTR_EXT;

    put(g, &in, is_long ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE);
    put_xattr_name(g);
    put_fill(g, in.size);
}

static void body_getxattr(struct guest *g)
{
    struct fuse_getxattr_in in = {.size = (uint32_t)take_number(&g->in)};

    put(g, &in, sizeof(in));
    put_xattr_name(g);
}

static void body_listxattr(struct guest *g)
{
    struct fuse_getxattr_in in = {.size = (uint32_t)take_number(&g->in)};

    put(g, &in, sizeof(in));
}

static void body_removexattr(struct guest *g)
{
    put_xattr_name(g);
}

static void body_forget(struct guest *g)
{
    struct fuse_forget_in in = {.nlookup = take_number(&g->in)};

    put(g, &in, sizeof(in));
}

static void body_batch_forget(struct guest *g)
{
    unsigned n = (unsigned)take(&g->in, 1) % 6;
    struct fuse_batch_forget_in in = {.count = take(&g->in, 1) == 0xff ? UINT32_MAX : n};

    put(g, &in, sizeof(in));
    for (unsigned i = 0; i < n; i++) {
        struct fuse_forget_one one = {.nodeid = take_nodeid(g), .nlookup = take_number(&g->in)};

        put(g, &one, sizeof(one));
    }
}

static void body_fallocate(struct guest *g)
{
    struct fuse_fallocate_in in = {.fh = take_fh(g),
                                   .offset = take_number(&g->in),
                                   .length = take_number(&g->in),
                                   .mode = (uint32_t)take(&g->in, 1)};

    put(g, &in, sizeof(in));
}

static void body_lseek(struct guest *g)
{
    struct fuse_lseek_in in = {
        .fh = take_fh(g), .offset = take_number(&g->in), .whence = (uint32_t)take(&g->in, 1) % 6};

    put(g, &in, sizeof(in));
}

static void body_copy(struct guest *g)
{
    struct fuse_copy_file_range_in in = {.fh_in = take_fh(g),
                                         .off_in = take_number(&g->in),
                                         .nodeid_out = take_nodeid(g),
                                         .fh_out = take_fh(g),
                                         .off_out = take_number(&g->in),
                                         .len = take_number(&g->in) & 0xfffff,
                                         .flags = take(&g->in, 1) & 1};

    put(g, &in, sizeof(in));
}

static void body_access(struct guest *g)
{
    struct fuse_access_in in = {.mask = (uint32_t)take(&g->in, 1)};

    put(g, &in, sizeof(in));
}

static void body_statx(struct guest *g)
{
    struct fuse_statx_in in = {.fh = take_fh(g), .sx_mask = (uint32_t)take(&g->in, 2)};

    put(g, &in, sizeof(in));
}

static void body_raw(struct guest *g)
{
    unsigned n = (unsigned)take(&g->in, 1);

    for (unsigned i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)take(&g->in, 1);

        put(g, &byte, 1);
    }
}

static void body_ioctl(struct guest *g)
{
    static const uint32_t cmds[] = {FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR,
                                    FS_IOC_FSSETXATTR};
    uint8_t how = (uint8_t)take(&g->in, 1);
    struct fuse_ioctl_in in = {.fh = take_fh(g),
                               .cmd = how < 0xf0 ? cmds[how % 4] : (uint32_t)take(&g->in, 4),
                               .in_size = how % 4 == 1   ? 4
                                          : how % 4 == 3 ? 28
                                                         : 0,
                               .out_size = (uint32_t)take_number(&g->in)};
    uint64_t value = take(&g->in, 4);

    put(g, &in, sizeof(in));
    put(g, &value, MIN(in.in_size, sizeof(value)));
    put_fill(g, in.in_size > sizeof(value) ? in.in_size - sizeof(value) : 0);
}

static void body_lock(struct guest *g)
{
    uint8_t how = (uint8_t)take(&g->in, 1);
    struct fuse_lk_in in = {
        .fh = take_fh(g),
        .owner = how % 5,
        .lk = {.start = take_number(&g->in), .end = take_number(&g->in), .type = how / 5 % 4},
        .lk_flags = how & 1};

    put(g, &in, sizeof(in));
}

static const struct shape shapes[] = {
    {FUSE_LOOKUP, body_name, ENTRY},
    {FUSE_CREATE, body_create, ENTRY | HANDLE},
    {FUSE_OPEN, body_open, HANDLE},
    {FUSE_OPENDIR, body_open, HANDLE},
    {FUSE_READDIRPLUS, body_read, DATA | DIRENTS},
    {FUSE_READDIR, body_read, DATA},
    {FUSE_READ, body_read, DATA},
    {FUSE_WRITE, body_write, 0},
    {FUSE_MKDIR, body_mkdir, ENTRY},
    {FUSE_MKNOD, body_mknod, ENTRY},
    {FUSE_SYMLINK, body_symlink, ENTRY},
    {FUSE_LINK, body_link, ENTRY},
    {FUSE_RENAME2, body_rename2, 0},
    {FUSE_RENAME, body_rename, 0},
    {FUSE_UNLINK, body_name, 0},
    {FUSE_RMDIR, body_name, 0},
    {FUSE_GETATTR, body_getattr, 0},
    {FUSE_SETATTR, body_setattr, 0},
    {FUSE_STATX, body_statx, 0},
    {FUSE_READLINK, body_none, DATA},
    {FUSE_RELEASE, body_release, 0},
    {FUSE_RELEASEDIR, body_release, 0},
    {FUSE_FORGET, body_forget, 0},
    {FUSE_BATCH_FORGET, body_batch_forget, 0},
    {FUSE_SETXATTR, body_setxattr, 0},
    {FUSE_GETXATTR, body_getxattr, DATA},
    {FUSE_LISTXATTR, body_listxattr, DATA},
    {FUSE_REMOVEXATTR, body_removexattr, 0},
    {FUSE_FALLOCATE, body_fallocate, 0},
    {FUSE_LSEEK, body_lseek, 0},
    {FUSE_COPY_FILE_RANGE, body_copy, 0},
    {FUSE_COPY_FILE_RANGE_64, body_copy, 0},
    {FUSE_TMPFILE, body_create, ENTRY | HANDLE},
    {FUSE_ACCESS, body_access, 0},
    {FUSE_STATFS, body_none, 0},
    {FUSE_FLUSH, body_flush, 0},
    {FUSE_FSYNC, body_fsync, 0},
    {FUSE_INIT, body_init, 0},
    {FUSE_DESTROY, body_none, 0},
    {FUSE_IOCTL, body_ioctl, DATA},
    {FUSE_GETLK, body_lock, 0},
    {FUSE_SETLK, body_lock, 0},
    {FUSE_SETLKW, body_lock, 0},
    {FUSE_INTERRUPT, body_raw, 0},
    {0, body_raw, DATA}, /* any opcode */
};

const struct shape *choose_shape(struct input *in)
{
    return &shapes[take(in, 1) % G_N_ELEMENTS(shapes)];
}

const struct shape *find_shape(uint32_t opcode)
{
    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        if (shapes[i].opcode == opcode) {
            return &shapes[i];
        }
    }
    return NULL;
}
