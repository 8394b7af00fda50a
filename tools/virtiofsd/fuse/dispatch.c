/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a chain to the function of its opcode. The table says what an opcode must bring along;
 * nothing behind it looks at a request that is too short.
 */
#include <errno.h>
#include <glib.h>

#include "base/log.h"
#include "fuse/ops.h"
#include "fuse/wire.h"
#include "request/worker.h"

enum {
    BEFORE_INIT = 1 << 0, /* may come before INIT */
    MUTATES = 1 << 1,     /* refused on a read-only share */
    KEEP_DATA = 1 << 2,   /* what follows the argument struct stays in guest memory */
    MAY_BLOCK = 1 << 3,   /* goes to the hand-over pool */
    NO_REPLY = 1 << 4,    /* never answered */
    SAYS_ENOSYS = 1 << 5, /* may answer ENOSYS, knowing that it is sticky in the guest */
    ANY_LENGTH = 1 << 6,  /* the op itself checks its arguments */
    OWN_TAIL = 1 << 7,    /* the op itself checks what follows the argument struct */
};

struct opcode {
    const char *name;
    fuse_op *op;
    unsigned short args;  /* bytes of the argument struct */
    unsigned short reply; /* least room for the reply's payload */
    unsigned flags;
    unsigned names; /* strings after the argument struct; nothing follows them */
};

static const struct opcode opcodes[] = {
    [FUSE_LOOKUP] = {"LOOKUP", op_lookup, 0, sizeof(struct fuse_entry_out), .names = 1},
    [FUSE_FORGET] = {"FORGET", op_forget, sizeof(struct fuse_forget_in), 0, NO_REPLY},
    [FUSE_GETATTR] = {"GETATTR", op_getattr, sizeof(struct fuse_getattr_in),
                      sizeof(struct fuse_attr_out)},
    [FUSE_SETATTR] = {"SETATTR", op_setattr, sizeof(struct fuse_setattr_in),
                      sizeof(struct fuse_attr_out), MUTATES},
    [FUSE_READLINK] = {"READLINK", op_readlink, 0, 1},
    [FUSE_SYMLINK] = {"SYMLINK", op_symlink, 0, sizeof(struct fuse_entry_out), MUTATES, .names = 2},
    [FUSE_MKNOD] = {"MKNOD", op_mknod, sizeof(struct fuse_mknod_in), sizeof(struct fuse_entry_out),
                    MUTATES, .names = 1},
    [FUSE_MKDIR] = {"MKDIR", op_mkdir, sizeof(struct fuse_mkdir_in), sizeof(struct fuse_entry_out),
                    MUTATES, .names = 1},
    [FUSE_UNLINK] = {"UNLINK", op_unlink, 0, 0, MUTATES, .names = 1},
    [FUSE_RMDIR] = {"RMDIR", op_rmdir, 0, 0, MUTATES, .names = 1},
    [FUSE_RENAME] = {"RENAME", op_rename, sizeof(struct fuse_rename_in), 0, MUTATES, .names = 2},
    [FUSE_LINK] = {"LINK", op_link, sizeof(struct fuse_link_in), sizeof(struct fuse_entry_out),
                   MUTATES, .names = 1},
    [FUSE_OPEN] = {"OPEN", op_open, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out)},
    [FUSE_READ] = {"READ", op_read, sizeof(struct fuse_read_in), 0},
    [FUSE_WRITE] = {"WRITE", op_write, sizeof(struct fuse_write_in), sizeof(struct fuse_write_out),
                    MUTATES | KEEP_DATA},
    [FUSE_STATFS] = {"STATFS", op_statfs, 0, sizeof(struct fuse_statfs_out)},
    [FUSE_RELEASE] = {"RELEASE", op_release, sizeof(struct fuse_release_in), 0},
    [FUSE_FSYNC] = {"FSYNC", op_fsync, sizeof(struct fuse_fsync_in), 0, MAY_BLOCK},
    [FUSE_SETXATTR] = {"SETXATTR", op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, 0,
                       MUTATES | OWN_TAIL},
    [FUSE_GETXATTR] = {"GETXATTR", op_getxattr, sizeof(struct fuse_getxattr_in), 0, .names = 1},
    [FUSE_LISTXATTR] = {"LISTXATTR", op_listxattr, sizeof(struct fuse_getxattr_in), 0},
    [FUSE_REMOVEXATTR] = {"REMOVEXATTR", op_removexattr, 0, 0, MUTATES, .names = 1},
    [FUSE_FLUSH] = {"FLUSH", op_flush, sizeof(struct fuse_flush_in), 0},
    [FUSE_INIT] = {"INIT", op_init, 16, sizeof(struct fuse_init_out), BEFORE_INIT | OWN_TAIL},
    [FUSE_OPENDIR] = {"OPENDIR", op_opendir, sizeof(struct fuse_open_in),
                      sizeof(struct fuse_open_out)},
    [FUSE_READDIR] = {"READDIR", op_readdir, sizeof(struct fuse_read_in), 0},
    [FUSE_RELEASEDIR] = {"RELEASEDIR", op_releasedir, sizeof(struct fuse_release_in), 0},
    [FUSE_FSYNCDIR] = {"FSYNCDIR", op_fsync, sizeof(struct fuse_fsync_in), 0, MAY_BLOCK},
    [FUSE_GETLK] = {"GETLK", op_getlk, sizeof(struct fuse_lk_in), sizeof(struct fuse_lk_out),
                    SAYS_ENOSYS},
    [FUSE_SETLK] = {"SETLK", op_setlk, sizeof(struct fuse_lk_in), 0, SAYS_ENOSYS},
    [FUSE_SETLKW] = {"SETLKW", op_setlkw, sizeof(struct fuse_lk_in), 0, SAYS_ENOSYS},
    [FUSE_ACCESS] = {"ACCESS", op_access, sizeof(struct fuse_access_in), 0},
    [FUSE_CREATE] = {"CREATE", op_create, sizeof(struct fuse_create_in),
                     sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out), MUTATES,
                     .names = 1},
    [FUSE_INTERRUPT] = {"INTERRUPT", op_interrupt, 0, 0, NO_REPLY | BEFORE_INIT | ANY_LENGTH},
    [FUSE_DESTROY] = {"DESTROY", op_destroy, 0, 0, BEFORE_INIT},
    [FUSE_IOCTL] = {"IOCTL", op_ioctl, sizeof(struct fuse_ioctl_in), 0, OWN_TAIL},
    [FUSE_BATCH_FORGET] = {"BATCH_FORGET", op_batch_forget, sizeof(struct fuse_batch_forget_in), 0,
                           NO_REPLY | OWN_TAIL},
    [FUSE_FALLOCATE] = {"FALLOCATE", op_fallocate, sizeof(struct fuse_fallocate_in), 0,
                        MUTATES | MAY_BLOCK},
    [FUSE_READDIRPLUS] = {"READDIRPLUS", op_readdirplus, sizeof(struct fuse_read_in), 0},
    [FUSE_RENAME2] = {"RENAME2", op_rename2, sizeof(struct fuse_rename2_in), 0, MUTATES,
                      .names = 2},
    [FUSE_LSEEK] = {"LSEEK", op_lseek, sizeof(struct fuse_lseek_in), sizeof(struct fuse_lseek_out)},
    [FUSE_COPY_FILE_RANGE] = {"COPY_FILE_RANGE", op_copy_file_range,
                              sizeof(struct fuse_copy_file_range_in), sizeof(struct fuse_write_out),
                              MUTATES | MAY_BLOCK},
    [FUSE_SYNCFS] = {"SYNCFS", op_syncfs, sizeof(struct fuse_syncfs_in), 0, MAY_BLOCK},
    [FUSE_TMPFILE] = {"TMPFILE", op_tmpfile, sizeof(struct fuse_create_in),
                      sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out),
                      MUTATES | SAYS_ENOSYS, .names = 1},
    [FUSE_STATX] = {"STATX", op_statx, sizeof(struct fuse_statx_in), sizeof(struct fuse_statx_out)},
    [FUSE_COPY_FILE_RANGE_64] = {"COPY_FILE_RANGE_64", op_copy_file_range_64,
                                 sizeof(struct fuse_copy_file_range_in),
                                 sizeof(struct fuse_copy_file_range_out), MUTATES | MAY_BLOCK},
};

/* NULL for what we do not serve: POLL, BMAP, SETUPMAPPING, anything unknown. */
static const struct opcode *find_opcode(uint32_t number)
{
    const struct opcode *opcode = NULL;

    if (number < G_N_ELEMENTS(opcodes)) {
        opcode = &opcodes[number];
    }
    return opcode && opcode->op ? opcode : NULL;
}

/*
 * Behind the argument struct come so many strings and nothing else. Extensions, which are cut off
 * by now, must not have taken a bite of the struct.
 */
static int check_tail(const struct opcode *opcode, const struct request *req)
{
    size_t pos = opcode->args;

    if (req->args_len < opcode->args) {
        return -EINVAL;
    }
    if (opcode->flags & (ANY_LENGTH | OWN_TAIL)) {
        return 0;
    }
    for (unsigned i = 0; i < opcode->names; i++) {
        if (!wire_string(req, &pos, NULL)) {
            return -EINVAL;
        }
    }
    return pos == req->args_len ? 0 : -EINVAL;
}

static int copy_args(const struct opcode *opcode, struct request *req)
{
    size_t len = (opcode->flags & KEEP_DATA) ? opcode->args : request_body_left(req);
    int err = 0;

    if (request_body_left(req) < opcode->args) {
        return (opcode->flags & ANY_LENGTH) ? 0 : -EINVAL;
    }
    err = request_copy_args(req, len);
    if (err < 0 || (opcode->flags & KEEP_DATA)) {
        return err;
    }
    err = wire_split_extensions(req);
    return err < 0 ? err : check_tail(opcode, req);
}

/* Everything that can be said about a request without knowing its opcode's meaning. */
static int check(struct fuse_session *session, const struct opcode *opcode,
                 const struct request *req)
{
    if (!(opcode->flags & BEFORE_INIT) &&
        !atomic_load_explicit(&session->ready, memory_order_acquire)) {
        return -EINVAL;
    }
    /* nothing is done for who cannot be told */
    if (!(opcode->flags & NO_REPLY) && req->chain->in_len < sizeof(struct fuse_out_header)) {
        return -EINVAL;
    }
    if (request_reply_room(req) < opcode->reply) {
        return -EINVAL;
    }
    if ((opcode->flags & MUTATES) && session->config.readonly) {
        return -EROFS;
    }
    return 0;
}

/* A host's ENOSYS would switch the operation off in the guest until it unmounts. */
static int without_enosys(const struct opcode *opcode, int result)
{
    return result == -ENOSYS && !(opcode->flags & SAYS_ENOSYS) ? -EOPNOTSUPP : result;
}

static void run(struct fuse_session *session, const struct opcode *opcode, struct request *req)
{
    int result = opcode->op(session, req);

    if (result != REQUEST_PENDING) {
        request_finish(req, without_enosys(opcode, result));
    }
}

static void run_on_worker(struct request *req)
{
    run(req->session, find_opcode(req->hdr.opcode), req);
}

/* FORGETs are not answered even when they are malformed; the rest hears what is wrong. */
static void refuse(const struct opcode *opcode, struct request *req, int err)
{
    bool silent = opcode && (opcode->flags & NO_REPLY);

    if (err == -EINVAL) {
        log_warn_limited("queue %u: malformed %s request (%zu bytes in, room for %zu)",
                         req->chain->queue, opcode ? opcode->name : "FUSE", req->chain->out_len,
                         req->chain->in_len);
    }
    request_finish(req, silent ? REQUEST_NO_REPLY : err);
}

void fuse_serve(struct fuse_session *session, struct chain *chain)
{
    struct request *req = chain->user;
    const struct opcode *opcode = NULL;
    int err = request_begin(req, chain);

    if (err == 0) {
        opcode = find_opcode(req->hdr.opcode);
        err = opcode ? check(session, opcode, req) : -ENOSYS;
    }
    if (err == 0) {
        err = copy_args(opcode, req);
    }
    if (err < 0) {
        refuse(opcode, req, err);
        return;
    }
    req->session = session;
    if ((opcode->flags & MAY_BLOCK) && session->workers) {
        req->work = run_on_worker;
        worker_submit(session->workers, req);
        return;
    }
    run(session, opcode, req);
}
