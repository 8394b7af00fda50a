/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the dispatcher decides before any opcode's function runs.
 */
#include <string.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/log.h"
#include "fuse/session.h"
#include "pt_fixture.h"
#include "request/request.h"

/* One request with its answer, handed over as a queue would. */
struct exchange {
    struct chain chain;
    struct iovec out, in;
    char request[512], reply[512];
    unsigned done;
    size_t written;
};

static void on_done(struct chain *chain, size_t written)
{
    struct exchange *x = (struct exchange *)chain;

    x->done++;
    x->written = written;
}

/* `room` bytes for the answer. Returns the error in it, or 1 when there was no answer. */
static int ask(struct fuse_session *session, struct exchange *x, uint32_t opcode, const void *args,
               size_t size, size_t room)
{
    struct fuse_in_header head = {.len = (uint32_t)(sizeof(head) + size),
                                  .opcode = opcode,
                                  .unique = 7,
                                  .nodeid = ROOT,
                                  .uid = geteuid(),
                                  .gid = getegid()};
    struct fuse_out_header answer;
    g_autofree struct request *req = g_new0(struct request, 1);

    memcpy(x->request, &head, sizeof(head));
    memcpy(x->request + sizeof(head), args, size);
    x->out = (struct iovec){x->request, head.len};
    x->in = (struct iovec){x->reply, room};
    x->chain = (struct chain){.out = &x->out,
                              .out_cnt = 1,
                              .out_len = head.len,
                              .in = &x->in,
                              .in_cnt = room > 0,
                              .in_len = room,
                              .done = on_done,
                              .user = req};
    x->done = 0;
    fuse_serve(session, &x->chain);
    g_assert_cmpuint(x->done, ==, 1);
    if (x->written == 0) {
        return 1;
    }
    memcpy(&answer, x->reply, sizeof(answer));
    g_assert_cmpuint(answer.len, ==, x->written);
    return answer.error;
}

static void nothing_is_done_for_who_cannot_be_told(struct pt_fixture *f)
{
    struct fuse_session session = {.fs = f->fs};
    struct fuse_init_in init = {.major = 7, .minor = 38};
    struct exchange x;
    g_autofree char *path = pt_host_path(f, "file");

    g_assert_cmpint(ask(&session, &x, FUSE_INIT, &init, sizeof(init), sizeof(x.reply)), ==, 0);
    pt_host_write(f, "file", "");
    for (size_t room = 0; room < sizeof(struct fuse_out_header); room++) {
        g_assert_cmpint(ask(&session, &x, FUSE_UNLINK, "file", 5, room), ==, 1);
        g_assert_cmpint(access(path, F_OK), ==, 0);
    }
    g_assert_cmpint(ask(&session, &x, FUSE_UNLINK, "file", 5, sizeof(struct fuse_out_header)), ==,
                    0);
    g_assert_cmpint(access(path, F_OK), !=, 0);
}

static void add_tests(void)
{
    pt_add_test("dispatch", "nothing_is_done_for_who_cannot_be_told",
                nothing_is_done_for_who_cannot_be_told);
}

int main(int argc, char **argv)
{
    log_threshold = LOG_LEVEL_OFF; /* g_test ends at the first warning */
    return pt_main(argc, argv, add_tests);
}
