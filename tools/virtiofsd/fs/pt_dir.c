/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories: what getdents64 returned is kept until the guest has taken it all, so that reading
 * a directory to its end costs each entry once, however small the guest's buffers are.
 *
 * Lock: one per open directory, held while it is read.
 */
#include "fs/pt_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "fs/pt_fs.h"
#include "fs/whiteout.h"

enum { DIR_BUFFER = 32 * 1024 };

/* The kernel's record (getdents64(2)); glibc's struct dirent64 is the same with a fixed name. */
struct host_dirent {
    uint64_t d_ino;
    int64_t d_off;
    uint16_t d_reclen;
    uint8_t d_type;
    char d_name[];
};

struct dir_stream {
    pthread_mutex_t lock;
    uint64_t next;   /* the cookie that continues at buf[pos] */
    bool next_valid; /* false after an error: seek first */
    size_t pos, len;
    char *buf;
};

void dir_stream_free(struct dir_stream *dir)
{
    if (dir) {
        pthread_mutex_destroy(&dir->lock);
        g_free(dir->buf);
        g_free(dir);
    }
}

static struct dir_stream *dir_stream_new(void)
{
    struct dir_stream *dir = g_try_new0(struct dir_stream, 1);

    if (dir) {
        pthread_mutex_init(&dir->lock, NULL);
        dir->next_valid = true; /* a fresh descriptor is at cookie 0 */
    }
    return dir;
}

int pt_opendir(struct pt_fs *fs, uint64_t nodeid, uint64_t *ret_fh)
{
    auto_inode inode = NULL;
    struct dir_stream *dir = NULL;
    int fd = -1;
    int err = pt_get_inode(fs, nodeid, &inode);

    if (err < 0) {
        return err;
    }
    if (!S_ISDIR(inode->type)) {
        return -ENOTDIR;
    }
    err = pt_reopen(fs, inode, O_RDONLY | O_DIRECTORY, &fd);
    if (err < 0) {
        return err;
    }
    dir = dir_stream_new();
    if (!dir) {
        (void)close(fd);
        return -ENOMEM;
    }
    return handle_table_add(fs->handles, fd, g_steal_pointer(&inode), O_RDONLY, dir, ret_fh);
}

/* Makes the entry for cookie `offset` the next one. */
static int seek_to(struct handle *handle, uint64_t offset)
{
    struct dir_stream *dir = handle->dir;

    if (dir->next_valid && dir->next == offset && offset != 0) {
        return 0;
    }
    /* Offset 0 always starts afresh: rewinddir(3) must show what is there now. */
    dir->pos = dir->len = 0;
    dir->next_valid = false;
    if (lseek(handle->fd, (off_t)offset, SEEK_SET) < 0) {
        return -errno;
    }
    dir->next = offset;
    dir->next_valid = true;
    return 0;
}

/* 1: there is an entry at buf[pos], 0: the end, or -errno. */
static int fill(struct handle *handle)
{
    struct dir_stream *dir = handle->dir;
    long n = 0;

    if (dir->pos < dir->len) {
        return 1;
    }
    if (!dir->buf && !(dir->buf = g_try_malloc(DIR_BUFFER))) {
        return -ENOMEM;
    }
    n = syscall(SYS_getdents64, handle->fd, dir->buf, DIR_BUFFER);
    if (n < 0) {
        dir->next_valid = false;
        return -errno;
    }
    dir->pos = 0;
    dir->len = (size_t)n;
    return n > 0;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Host file systems without d_type, and entries that a look-up has told more about. */
static unsigned type_of(const struct pt_fs *fs, const struct handle *handle,
                        const struct host_dirent *host, const struct pt_entry *entry)
{
    unsigned type = host->d_type;
    struct stat st;

    if (entry) {
        return IFTODT(entry->st.stx_mode);
    }
    if (type == DT_UNKNOWN) {
        if (fstatat(handle->fd, host->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
            return DT_REG; /* gone meanwhile, or as good as: a type that promises nothing */
        }
        type = IFTODT(st.st_mode);
    }
    if (type == DT_LNK && fs->config.overlay.on && whiteout_is_link(handle->fd, host->d_name)) {
        type = DT_CHR;
    }
    return type;
}

/* A name that vanished meanwhile is left out; one that cannot be looked up is put bare. */
static void put_one(struct pt_fs *fs, struct handle *handle, const struct host_dirent *host,
                    bool plus, struct pt_dir_sink *sink)
{
    struct pt_entry entry;
    struct pt_dirent out = {
        .name = host->d_name,
        .name_len = strlen(host->d_name),
        .ino = host->d_ino,
        .next = (uint64_t)host->d_off,
    };

    if (plus && !is_dot(host->d_name)) {
        int err = pt_lookup_settled(fs, handle->inode, host->d_name, &entry);

        if (err == -ENOENT) {
            return;
        }
        out.entry = err == 0 ? &entry : NULL; /* the guest will ask, and hear the error, itself */
    }
    out.type = type_of(fs, handle, host, out.entry);
    sink->put(sink, &out);
}

/* Past this entry. */
static void skip(struct dir_stream *dir, const struct host_dirent *host)
{
    dir->next = (uint64_t)host->d_off;
    dir->pos += host->d_reclen;
}

/* Entries until the sink is full or the directory ends; an error only if none was taken before. */
static int read_entries(struct pt_fs *fs, struct handle *handle, bool plus,
                        struct pt_dir_sink *sink)
{
    struct dir_stream *dir = handle->dir;
    bool any = false;
    int more = 0;

    while ((more = fill(handle)) == 1) {
        const struct host_dirent *host = (const void *)(dir->buf + dir->pos);

        if (pt_is_reserved(fs, host->d_name)) {
            skip(dir, host);
            continue;
        }
        if (!sink->fits(sink, strlen(host->d_name))) {
            return 0;
        }
        put_one(fs, handle, host, plus, sink);
        any = true;
        skip(dir, host);
    }
    return any ? 0 : more;
}

int pt_readdir(struct pt_fs *fs, uint64_t fh, uint64_t offset, bool plus, struct pt_dir_sink *sink)
{
    auto_handle handle = handle_table_get(fs->handles, fh);
    int err = 0;

    if (!handle || !handle->dir) {
        return -EBADF;
    }
    pthread_mutex_lock(&handle->dir->lock);
    err = seek_to(handle, offset);
    if (err == 0) {
        err = read_entries(fs, handle, plus, sink);
    }
    pthread_mutex_unlock(&handle->dir->lock);
    return err;
}
