/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE requests against the real file system on a tmpfs in a mount namespace of its own.
 *
 * The input is a small program: two bytes choose the options of the share, then each request is an
 * opcode, a few selectors (which nodeid, fh, name) and raw numbers. Most requests are well formed,
 * so that long sequences get deep; a "spoil" byte makes some of them lie. Numbers the file system
 * handed out are remembered and used again.
 *
 * Checked: every reply's frame, no byte behind what the reply says, no byte of our own memory in
 * it, and that nothing of a directory beside the share is ever seen or changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/log.h"
#include "fs/pt.h"
#include "fs/xattrmap.h"
#include "fuse/session.h"
#include "fuse_grammar.h"
#include "host/idmap.h"
#include "request/request.h"

#define ROOM_MAX   (5 * 1024)
#define SECRET     "S3CRET-outside-the-share"
#define OWN_BYTE   0xc7 /* what our memory is filled with; never part of an answer */
#define GUEST_BYTE 0x5a /* what the guest's memory is filled with */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* Freed memory is kept out of use for a while: the default of 256 MB makes each run page-fault. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4";
}

/* --- the world: made once --- */

static struct {
    bool ready;
    char base[64];
    int base_fd, share_fd, cwd_fd, proc_fd;
    uint64_t secret_ino[3];
    struct xattrmap *map;
    struct idmap *ids;
} world;

static void expect(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "fuzz_fuse: %s\n", what);
        abort();
    }
}

static void write_map(const char *path, unsigned id)
{
    FILE *file = fopen(path, "w");

    if (file) {
        fprintf(file, "0 %u 1\n", id);
        fclose(file);
    }
}

/* A tmpfs that only we see and that goes with us; without the right to one, a plain directory. */
static void mount_world(void)
{
    unsigned uid = getuid();
    unsigned gid = getgid();

    if (uid != 0 && unshare(CLONE_NEWUSER) == 0) {
        FILE *file = fopen("/proc/self/setgroups", "w");

        if (file) {
            fputs("deny", file);
            fclose(file);
        }
        write_map("/proc/self/uid_map", uid);
        write_map("/proc/self/gid_map", gid);
    }
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
        (void)!mount("tmpfs", world.base, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=755");
    }
}

static uint64_t make_secret(const char *name, bool is_dir)
{
    struct stat st;
    int fd = -1;

    if (is_dir) {
        expect(mkdirat(world.base_fd, name, 0755) == 0, "mkdir");
    } else {
        fd = openat(world.base_fd, name, O_CREAT | O_WRONLY, 0644);
        expect(write(fd, SECRET, sizeof(SECRET)) == sizeof(SECRET), "write");
        close(fd);
    }
    expect(fstatat(world.base_fd, name, &st, 0) == 0, "stat");
    return st.st_ino;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    if (ftw->level > 0) {
        (void)remove(path);
    }
    return 0;
}

static void empty_share(void)
{
    g_autofree char *path = g_build_filename(world.base, "share", NULL);

    (void)nftw(path, remove_one, 64, FTW_DEPTH | FTW_PHYS);
    expect(fchmodat(world.base_fd, "share", 0755, 0) == 0, "chmod");
}

static void leave_world(void)
{
    if (umount2(world.base, MNT_DETACH) < 0) {
        (void)nftw(world.base, remove_one, 64, FTW_DEPTH | FTW_PHYS);
    }
    (void)rmdir(world.base);
}

static void make_world(void)
{
    static const struct idmap_rule rules[] = {{IDMAP_MAP, 0, 1000, 100},
                                              {IDMAP_FORBID_GUEST, 500, 0, 10},
                                              {IDMAP_SQUASH_GUEST, 600, 7, 100}};
    g_autofree char *error = NULL;

    snprintf(world.base, sizeof(world.base), "/tmp/fuzz-fuse-XXXXXX");
    expect(mkdtemp(world.base) != NULL, "mkdtemp");
    mount_world();
    world.cwd_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    world.base_fd = open(world.base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    expect(mkdirat(world.base_fd, "share", 0755) == 0, "mkdir");
    world.share_fd = openat(world.base_fd, "share", O_PATH | O_DIRECTORY | O_CLOEXEC);
    world.secret_ino[0] = make_secret("outside", false);
    world.secret_ino[1] = make_secret("outside-dir", true);
    world.secret_ino[2] = make_secret("outside-dir/deep", false);
    world.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    expect(world.share_fd >= 0 && world.proc_fd >= 0, "open");
    world.map = xattrmap_parse(XATTRMAP_TRUSTED_AND_CAPS_TO_USER, &error);
    expect(world.map && idmap_new(rules, G_N_ELEMENTS(rules), &world.ids, &error) == 0, "maps");
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
    log_threshold = getenv("FUZZ_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_OFF;
    atexit(leave_world);
    world.ready = true;
}

/* --- a request as a chain --- */

struct cut {
    struct iovec iov[64];
    unsigned cnt;
};

/* Pieces on the heap, each of its own, so that one byte too far is seen. */
static void cut_up(struct cut *cut, const uint8_t *from, size_t len, uint8_t how)
{
    size_t piece = how % 4 == 0 ? len : 1u + how;

    while (len > 0) {
        size_t n = cut->cnt == G_N_ELEMENTS(cut->iov) - 1 ? len : MIN(piece, len);
        uint8_t *copy = g_malloc(n);

        if (from) {
            memcpy(copy, from, n);
            from += n;
        } else {
            memset(copy, GUEST_BYTE, n);
        }
        cut->iov[cut->cnt++] = (struct iovec){.iov_base = copy, .iov_len = n};
        len -= n;
    }
}

static void free_cut(const struct cut *cut)
{
    for (unsigned i = 0; i < cut->cnt; i++) {
        g_free(cut->iov[i].iov_base);
    }
}

static void on_done(struct chain *chain, size_t written)
{
    struct guest *g = *(struct guest **)(void *)((char *)chain->user + REQUEST_SIZE);

    g->written = written;
    expect(g_atomic_int_add(&g->done, 1) == 0, "a chain was given back twice");
}

static bool is_secret(uint64_t ino)
{
    return ino == world.secret_ino[0] || ino == world.secret_ino[1] || ino == world.secret_ino[2];
}

static void check_entry(struct guest *g, const struct fuse_entry_out *entry)
{
    if (entry->nodeid != 0) {
        expect(!is_secret(entry->attr.ino), "an inode outside of the share");
        remember(g->nodeids, &g->n_nodeids, entry->nodeid);
    }
}

static void check_dirents(struct guest *g, const uint8_t *at, size_t left)
{
    while (left > 0) {
        struct fuse_direntplus plus;
        size_t size = 0;

        expect(left >= FUSE_NAME_OFFSET_DIRENTPLUS, "a cut dirent");
        memcpy(&plus, at, FUSE_NAME_OFFSET_DIRENTPLUS);
        size = FUSE_DIRENTPLUS_SIZE(&plus);
        expect(plus.dirent.namelen > 0 && plus.dirent.namelen <= 255 && size <= left,
               "a dirent's size");
        check_entry(g, &plus.entry_out);
        at += size;
        left -= size;
    }
}

/* A run of the byte our memory was filled with would be our memory. */
static void check_leak(const uint8_t *at, size_t len)
{
    unsigned run = 0;

    for (size_t i = 0; i < len; i++) {
        run = at[i] == OWN_BYTE ? run + 1 : 0;
        expect(run < 4, "memory of the daemon in a reply");
    }
}

static void check_reply(struct guest *g, const struct shape *shape, const uint8_t *reply,
                        size_t room, uint64_t unique)
{
    struct fuse_out_header out;
    size_t body = 0;

    expect(g->written <= room, "more written than there is room for");
    for (size_t i = g->written; i < room; i++) {
        /* READ may have read more than it then tells of after an error */
        expect(reply[i] == GUEST_BYTE || (shape->reply & DATA), "bytes behind the reply");
    }
    if (g->written == 0) {
        return;
    }
    expect(g->written >= sizeof(out), "half a header");
    memcpy(&out, reply, sizeof(out));
    expect(out.len == g->written && out.unique == unique, "a wrong header");
    expect(out.error <= 0 && out.error > -512, "an error out of range");
    expect(out.error == 0 || out.len == sizeof(out), "an error with a body");
    body = out.len - sizeof(out);
    check_leak(reply, out.len);
    /* all of it: libFuzzer learns what is compared, and a name has up to 8 bytes of its choice */
    expect(!memmem(reply, out.len, SECRET, strlen(SECRET)), "bytes from outside of the share");
    if (out.error == 0 && (shape->reply & ENTRY) && body >= sizeof(struct fuse_entry_out)) {
        struct fuse_entry_out entry;

        memcpy(&entry, reply + sizeof(out), sizeof(entry));
        check_entry(g, &entry);
    }
    if (out.error == 0 && (shape->reply & HANDLE) && body >= sizeof(struct fuse_open_out)) {
        struct fuse_open_out open;

        memcpy(&open, reply + out.len - sizeof(open), sizeof(open));
        remember(g->fhs, &g->n_fhs, open.fh);
    }
    if (out.error == 0 && (shape->reply & DIRENTS)) {
        check_dirents(g, reply + sizeof(out), body);
    }
}

/* The number that was really sent, which a cut header moves; 0 when there is none. */
static uint64_t unique_of(const struct cut *cut, size_t len)
{
    struct iov_cursor cursor = iov_cursor_make(cut->iov, cut->cnt);
    struct fuse_in_header head = {0};

    if (len >= sizeof(head)) {
        (void)iov_cursor_read(&cursor, &head, sizeof(head));
    }
    return head.unique;
}

static void serve_body(struct guest *g, const struct shape *shape, struct fuse_in_header *head,
                       size_t room, uint8_t how)
{
    size_t user_size = REQUEST_SIZE + sizeof(struct guest *);
    g_autofree uint8_t *reply = g_malloc(room + 1);
    struct cut out = {.cnt = 0};
    struct cut in = {.cnt = 0};
    struct chain chain = {.done = on_done};
    size_t at = 0;

    chain.user = g_malloc(user_size);
    memset(chain.user, OWN_BYTE, user_size);
    memcpy((char *)chain.user + REQUEST_SIZE, &g, sizeof(g));
    cut_up(&out, (const uint8_t *)head, MIN(sizeof(*head), head->padding ? head->padding : 40u),
           how);
    head->padding = 0;
    cut_up(&out, g->body, g->len, (uint8_t)(how * 3));
    cut_up(&in, NULL, room, (uint8_t)(how * 5));
    chain.out = out.iov;
    chain.out_cnt = out.cnt;
    chain.in = in.iov;
    chain.in_cnt = in.cnt;
    for (unsigned i = 0; i < out.cnt; i++) {
        chain.out_len += out.iov[i].iov_len;
    }
    chain.in_len = room;
    g_atomic_int_set(&g->done, 0);
    fuse_serve(&g->session, &chain);
    while (!g_atomic_int_get(&g->done)) {
        fuse_cancel_locks(&g->session); /* nothing else waits, and this ends it */
        g_usleep(10);
    }
    for (unsigned i = 0; i < in.cnt; i++) {
        memcpy(reply + at, in.iov[i].iov_base, in.iov[i].iov_len);
        at += in.iov[i].iov_len;
    }
    check_reply(g, shape, reply, room, unique_of(&out, chain.out_len));
    free_cut(&out);
    free_cut(&in);
    g_free(chain.user);
}

/* Lies about lengths, extensions that are there or not, too little room. */
static void spoil(struct guest *g, struct fuse_in_header *head, size_t *room, uint8_t how)
{
    size_t byte = take(&g->in, 1);
    struct {
        struct fuse_ext_header head;
        uint32_t nr, group;
    } ext = {.head = {.size = 16, .type = FUSE_EXT_GROUPS}, .nr = 1, .group = 100};

    switch (how % 8) {
    case 0:
    case 1:
        put_fill(g, -g->len % 8);
        ext.head.size = (uint32_t)(how == 8 ? take(&g->in, 4) : 16);
        ext.nr = (uint32_t)(how == 16 ? take(&g->in, 4) : 1);
        put(g, &ext, sizeof(ext));
        head->total_extlen = (uint16_t)(how == 9 ? take(&g->in, 2) : sizeof(ext) / 8);
        break;
    case 2:
        head->total_extlen = (uint16_t)take(&g->in, 2);
        break;
    case 3:
        g->len -= MIN(g->len, byte % 32);
        break;
    case 4:
        *room = take(&g->in, 2) % ROOM_MAX;
        break;
    case 5:
        put_fill(g, byte);
        break;
    case 6:
        g->len = MIN(g->len, byte);
        break;
    default:
        head->padding = (uint16_t)(byte % 40); /* serve_body(): a cut header */
        break;
    }
    head->len = (uint32_t)(sizeof(*head) + g->len);
    if (how > 0xf0) {
        head->len = (uint32_t)take(&g->in, 4);
    }
}

static void one_request(struct guest *g, const struct shape *shape)
{
    uint8_t how = (uint8_t)take(&g->in, 1);
    struct fuse_in_header head = {.opcode = shape->opcode, .unique = 0x1122334455667788ull + how};
    size_t room = ROOM_MAX;

    if (shape->opcode == 0) {
        head.opcode = (uint32_t)take(&g->in, 2);
    }
    head.nodeid = take_nodeid(g);
    head.uid = how & 1 ? (uint32_t)take_number(&g->in) : 0;
    head.gid = how & 2 ? (uint32_t)take_number(&g->in) : 0;
    g->len = 0;
    shape->body(g);
    head.len = (uint32_t)(sizeof(head) + g->len);
    if (how & 0x80) {
        spoil(g, &head, &room, (uint8_t)take(&g->in, 1));
    }
    serve_body(g, shape, &head, room, how);
}

static int init_thread(void *opaque)
{
    struct fuse_session *session = opaque;

    return pt_thread_init(session->fs);
}

static void start_guest(struct guest *g)
{
    uint8_t fs_bits = (uint8_t)take(&g->in, 1);
    uint8_t fuse_bits = (uint8_t)take(&g->in, 1);
    struct pt_config config = {
        .root_fd = fcntl(world.share_fd, F_DUPFD_CLOEXEC, 0),
        .proc_self_fd = fcntl(world.proc_fd, F_DUPFD_CLOEXEC, 0),
        .readonly = (fs_bits & 7) == 7,
        .xattr = !(fs_bits & 8) || (fs_bits & 16),
        .xattrmap = fs_bits & 16 ? world.map : NULL,
        .writeback = fs_bits & 32,
        .uids = fs_bits & 64 ? world.ids : NULL,
        .gids = fs_bits & 64 ? world.ids : NULL,
        .overlay = {.on = fs_bits & 1, .try_native = fs_bits & 2, .unstable_ids = fs_bits & 4},
        .partial_ids = getuid() != 0,
        .file_handles = fs_bits & 128,
        .handle_key = {1, 2},
    };

    g->session.config = (struct fuse_config){.entry_timeout = 1,
                                             .negative_timeout = fuse_bits & 1,
                                             .readdirplus = true,
                                             .writeback = config.writeback,
                                             .readonly = config.readonly,
                                             .posix_acl = fuse_bits & 2,
                                             .killpriv_v2 = fuse_bits & 4,
                                             .direct_io = fuse_bits & 8,
                                             .tmpfile = fuse_bits & 16,
                                             .posix_lock = fuse_bits & 32,
                                             .flock = fuse_bits & 64,
                                             .export_handles = config.file_handles};
    expect(pt_fs_new(&config, &g->session.fs) == 0, "pt_fs_new");
    expect(pt_thread_init(g->session.fs) == 0, "pt_thread_init");
    fuse_start_locks(&g->session, init_thread);
    if (!(fuse_bits & 128)) {
        one_request(g, find_shape(FUSE_INIT));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest *g = NULL;
    struct stat st;

    if (!world.ready) {
        make_world();
    }
    g = g_new0(struct guest, 1);
    g->in = (struct input){.data = data, .left = size};
    start_guest(g);
    for (unsigned n = 0; n < 64 && g->in.left > 0; n++) {
        one_request(g, choose_shape(&g->in));
    }
    fuse_stop_locks(&g->session);
    fuse_session_reset(&g->session);
    pt_fs_free(g->session.fs);
    g_free(g);
    umask(022);
    expect(fchdir(world.cwd_fd) == 0, "fchdir");
    empty_share();
    expect(fstatat(world.base_fd, "outside", &st, 0) == 0 && st.st_size == sizeof(SECRET) &&
               st.st_nlink == 1 && st.st_mode == (S_IFREG | 0644),
           "a file outside of the share was changed");
    return 0;
}
