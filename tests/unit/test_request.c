/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests out of chains and answers into them, and the pool that finishes what would block.
 */
#include "request/request.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>

#include "request/worker.h"

/* A chain with a source that only counts. */
struct fixture {
    struct chain chain;
    struct request req;
    struct iovec out[2], in[2];
    struct {
        struct fuse_in_header head;
        char body[100];
    } sent;
    char answer[200];
    gint done;
    size_t written;
};

static void on_done(struct chain *chain, size_t written)
{
    struct fixture *f = (struct fixture *)((char *)chain - offsetof(struct fixture, chain));

    f->written = written;
    g_atomic_int_inc(&f->done);
}

/* The header is cut into two pieces on either side; `body` bytes follow it. */
static void fixture_init(struct fixture *f, size_t body, size_t room)
{
    size_t len = sizeof(struct fuse_in_header) + body;

    memset(f, 0, sizeof(*f));
    f->sent.head = (struct fuse_in_header){.len = (uint32_t)len, .opcode = 3, .unique = 42};
    memset(f->sent.body, 'b', sizeof(f->sent.body));
    f->out[0] = (struct iovec){&f->sent, 10};
    f->out[1] = (struct iovec){(char *)&f->sent + 10, len - 10};
    f->in[0] = (struct iovec){f->answer, MIN(room, 5)};
    f->in[1] = (struct iovec){f->answer + 5, room - MIN(room, 5)};
    f->chain = (struct chain){
        .out = f->out,
        .out_cnt = 2,
        .out_len = len,
        .in = f->in,
        .in_cnt = 2,
        .in_len = room,
        .done = on_done,
    };
}

static const struct fuse_out_header *answer(struct fixture *f)
{
    return (const struct fuse_out_header *)f->answer;
}

static void a_request_is_copied_and_answered_once(void)
{
    struct fixture f;
    uint64_t *reply = NULL;

    fixture_init(&f, 20, 100);
    g_assert_cmpint(request_begin(&f.req, &f.chain), ==, 0);
    g_assert_cmpuint(f.req.hdr.unique, ==, 42);
    g_assert_cmpuint(request_body_left(&f.req), ==, 20);
    g_assert_cmpint(request_copy_args(&f.req, 8), ==, 0);
    memset(f.sent.body, 'x', sizeof(f.sent.body)); /* the guest changes its mind: too late */
    g_assert_cmpint(memcmp(f.req.args, "bbbbbbbb", 8), ==, 0);
    g_assert_cmpuint(request_body_left(&f.req), ==, 12);
    g_assert_cmpuint(request_reply_room(&f.req), ==, 84);
    reply = request_reply_new(&f.req, sizeof(*reply));
    *reply = 4711;
    request_finish(&f.req, 0);
    g_assert_cmpint(f.done, ==, 1);
    g_assert_cmpuint(f.written, ==, 24);
    g_assert_cmpuint(answer(&f)->len, ==, 24);
    g_assert_cmpuint(answer(&f)->unique, ==, 42);
    g_assert_cmpint(answer(&f)->error, ==, 0);
    g_assert_cmpint(memcmp(f.answer + 16, &(uint64_t){4711}, 8), ==, 0);
}

static void an_error_is_a_header_alone(void)
{
    struct fixture f;

    fixture_init(&f, 0, 100);
    g_assert_cmpint(request_begin(&f.req, &f.chain), ==, 0);
    (void)request_reply_new(&f.req, 8);
    request_finish(&f.req, -ENOENT);
    g_assert_cmpuint(f.written, ==, 16);
    g_assert_cmpuint(answer(&f)->len, ==, 16);
    g_assert_cmpint(answer(&f)->error, ==, -ENOENT);
}

static void wrong_lengths_are_einval(void)
{
    struct fixture f;

    fixture_init(&f, 4, 100);
    f.sent.head.len++;
    g_assert_cmpint(request_begin(&f.req, &f.chain), ==, -EINVAL);
    request_finish(&f.req, -EINVAL);
    g_assert_cmpint(f.done, ==, 1);

    fixture_init(&f, 4, 100);
    f.out[1].iov_len = 5;
    f.chain.out_len = 15;
    g_assert_cmpint(request_begin(&f.req, &f.chain), ==, -EINVAL);
    request_finish(&f.req, -EINVAL);
    g_assert_cmpint(f.done, ==, 1);

    fixture_init(&f, 4, 100);
    g_assert_cmpint(request_begin(&f.req, &f.chain), ==, 0);
    g_assert_cmpint(request_copy_args(&f.req, 5), ==, -EINVAL);
    request_finish(&f.req, -EINVAL);
}

static void no_room_for_an_answer_overruns_nothing(void)
{
    struct fixture f;

    for (size_t room = 0; room < 16; room++) {
        fixture_init(&f, 0, room);
        memset(f.answer, 0x5a, sizeof(f.answer));
        (void)request_begin(&f.req, &f.chain);
        g_assert_cmpuint(request_reply_room(&f.req), ==, 0);
        request_finish(&f.req, -ENOENT);
        g_assert_cmpint(f.done, ==, 1);
        g_assert_cmpuint(f.written, <=, room);
        for (size_t i = room; i < sizeof(f.answer); i++) {
            g_assert_cmpint(f.answer[i], ==, 0x5a);
        }
    }
}

static void forget_gives_the_chain_back_empty(void)
{
    struct fixture f;

    fixture_init(&f, 8, 0);
    (void)request_begin(&f.req, &f.chain);
    request_finish(&f.req, REQUEST_NO_REPLY);
    g_assert_cmpint(f.done, ==, 1);
    g_assert_cmpuint(f.written, ==, 0);
}

static void parts_are_appended_up_to_the_room(void)
{
    struct fixture f;

    fixture_init(&f, 0, 16 + 10);
    g_assert_cmpint(request_begin(&f.req, &f.chain), ==, 0);
    g_assert_cmpint(request_reply_append(&f.req, "abcdef", 6), ==, 0);
    g_assert_cmpint(request_reply_append(&f.req, "ghij", 4), ==, 0);
    g_assert_cmpint(request_reply_append(&f.req, "k", 1), ==, -EINVAL);
    request_finish(&f.req, 0);
    g_assert_cmpuint(f.written, ==, 26);
    g_assert_cmpint(memcmp(f.answer + 16, "abcdefghij", 10), ==, 0);
    g_assert_cmpint(f.answer[26], ==, 0);
}

/* --- workers --- */

enum { MANY = 200 };

static void work(struct request *req)
{
    request_finish(req, 0);
}

static int good_thread(void *opaque)
{
    g_atomic_int_inc((gint *)opaque);
    return 0;
}

static int bad_thread(void *opaque)
{
    return -EPERM;
}

static void run_many(unsigned threads, int (*init)(void *opaque), gint *started, int want_error)
{
    struct worker_pool *pool = worker_pool_new(threads, init, started);
    struct fixture *f = g_new0(struct fixture, MANY);

    for (int i = 0; i < MANY; i++) {
        fixture_init(&f[i], 0, 100);
        g_assert_cmpint(request_begin(&f[i].req, &f[i].chain), ==, 0);
        f[i].req.work = work;
        worker_submit(pool, &f[i].req);
    }
    worker_pool_free(pool); /* waits for all of them */
    for (int i = 0; i < MANY; i++) {
        g_assert_cmpint(f[i].done, ==, 1);
        g_assert_cmpint(answer(&f[i])->error, ==, want_error);
    }
    g_free(f);
}

static void the_pool_finishes_all_it_was_given(void)
{
    gint started = 0;

    run_many(4, good_thread, &started, 0);
    g_assert_cmpint(started, >=, 1);
    g_assert_cmpint(started, <=, 4);
    started = 0;
    run_many(1, good_thread, &started, 0);
    g_assert_cmpint(started, ==, 1);
}

static void a_thread_that_cannot_start_says_why(void)
{
    run_many(2, bad_thread, NULL, -EPERM);
}

static void a_pool_without_work_ends(void)
{
    gint started = 0;

    worker_pool_free(worker_pool_new(8, good_thread, &started));
    worker_pool_free(NULL);
    g_assert_cmpint(started, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/request/a_request_is_copied_and_answered_once",
                    a_request_is_copied_and_answered_once);
    g_test_add_func("/request/an_error_is_a_header_alone", an_error_is_a_header_alone);
    g_test_add_func("/request/wrong_lengths_are_einval", wrong_lengths_are_einval);
    g_test_add_func("/request/no_room_for_an_answer_overruns_nothing",
                    no_room_for_an_answer_overruns_nothing);
    g_test_add_func("/request/forget_gives_the_chain_back_empty",
                    forget_gives_the_chain_back_empty);
    g_test_add_func("/request/parts_are_appended_up_to_the_room",
                    parts_are_appended_up_to_the_room);
    g_test_add_func("/worker/the_pool_finishes_all_it_was_given",
                    the_pool_finishes_all_it_was_given);
    g_test_add_func("/worker/a_thread_that_cannot_start_says_why",
                    a_thread_that_cannot_start_says_why);
    g_test_add_func("/worker/a_pool_without_work_ends", a_pool_without_work_ends);
    return g_test_run();
}
