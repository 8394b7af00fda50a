/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inflight regions: a device that is killed at any instant and started again must lose no chain
 * and answer none twice. The device is a child process that pops, holds and pushes in no order;
 * the driver is the one of tests/frontend, which notices an answer too many.
 */
#include "transport/inflight.h"

#include <errno.h>
#include <glib.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "transport/virtqueue.h"
#include "vring_driver.h"

#define RAM_SIZE ((size_t)4 << 20)
#define RAM_GPA  (1ULL << 32)
#define NUM      16u
#define HELD     8u

struct bed {
    struct guest_ram ram;
    struct vqueue driver;
    bool packed;
    int inflight_fd;
    uint64_t inflight_size;

    /* a life of the device */
    struct guest_mem *mem;
    struct inflight *inflight;
    struct virtqueue vq;
};

static void set_up(struct bed *bed, bool packed, bool indirect)
{
    memset(bed, 0, sizeof(*bed));
    bed->packed = packed;
    bed->ram = (struct guest_ram){.gpa = RAM_GPA, .size = RAM_SIZE};
    bed->ram.memfd = memfd_create("ram", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(bed->ram.memfd, (off_t)RAM_SIZE), ==, 0);
    bed->ram.base = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bed->ram.memfd, 0);
    g_assert_true(bed->ram.base != MAP_FAILED);
    g_assert_cmpint(vqueue_init(&bed->driver, &bed->ram, 0, NUM), ==, 0);
    bed->driver.packed = packed;
    bed->driver.indirect = indirect;
    vqueue_reset(&bed->driver, 0);
    bed->inflight_size = inflight_size(2, NUM, packed);
    bed->inflight_fd = inflight_create(bed->inflight_size);
    g_assert_cmpint(bed->inflight_fd, >=, 0);
}

static void tear_down(struct bed *bed)
{
    vqueue_done(&bed->driver);
    munmap(bed->ram.base, RAM_SIZE);
    close(bed->ram.memfd);
    close(bed->inflight_fd);
}

/* As after a reconnect: the front end says what it last knew of the place. */
static int begin_life(struct bed *bed, uint32_t base)
{
    struct guest_mem_range range = {RAM_GPA, RAM_SIZE, (uint64_t)(uintptr_t)bed->ram.base, 0};
    const struct vqueue *driver = &bed->driver;
    struct vq_addr addr = {.desc = (uint64_t)(uintptr_t)driver->desc,
                           .avail = (uint64_t)(uintptr_t)driver->avail,
                           .used = (uint64_t)(uintptr_t)driver->used};
    const char *why = NULL;

    bed->mem = guest_mem_new();
    g_assert_cmpint(guest_mem_add(bed->mem, &range, bed->ram.memfd), ==, 0);
    g_assert_cmpint(
        inflight_map(bed->inflight_fd, bed->inflight_size, 0, 2, NUM, bed->packed, &bed->inflight),
        ==, 0);
    vq_reset_at(&bed->vq, base);
    bed->vq.packed = bed->packed;
    bed->vq.indirect = true;
    bed->vq.inflight = inflight_queue(bed->inflight, 1);
    return vq_map(&bed->vq, bed->mem, NUM, &addr, &why);
}

/* The end that kill(2) brings, for tests that do it in one process. */
static void end_life(struct bed *bed)
{
    inflight_free(bed->inflight);
    guest_mem_free(bed->mem);
}

static uint32_t last_known_base(const struct bed *bed)
{
    return bed->packed ? vqueue_base(&bed->driver) : bed->driver.used->idx;
}

static void answer(struct virtqueue *vq, struct vq_elem *elem)
{
    memcpy(elem->chain.in[0].iov_base, elem->chain.out[0].iov_base, 8);
    vq_push(vq, elem, 8);
}

/* Until it is killed. Exit codes say what went wrong where nobody can listen. */
static G_GNUC_NORETURN void live(struct bed *bed, uint32_t base, unsigned seed)
{
    struct vq_elem *held[HELD];
    unsigned cnt = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < HELD; i++) {
        held[i] = g_new0(struct vq_elem, 1);
    }
    if (begin_life(bed, base) < 0) {
        _exit(2);
    }
    for (;;) {
        int rc = cnt < HELD ? vq_pop(&bed->vq, held[cnt]) : 0;

        if (rc < 0) {
            _exit(3);
        }
        cnt += (unsigned)rc;
        seed = seed * 1103515245 + 12345;
        if (cnt == HELD || (cnt > 0 && (seed >> 16) % 3 == 0)) {
            unsigned which = (seed >> 20) % cnt;
            struct vq_elem *elem = held[which];

            answer(&bed->vq, elem);
            held[which] = held[--cnt];
            held[cnt] = elem;
        } else if (rc == 0 && cnt == 0) {
            sched_yield();
        }
    }
}

static pid_t start_device(struct bed *bed, unsigned seed)
{
    uint32_t base = last_known_base(bed);
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        live(bed, base, seed);
    }
    return pid;
}

static void kill_device(pid_t pid)
{
    int status = 0;

    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status)); /* else it ended by itself, with what live() says */
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

struct request {
    uint64_t question;
    uint64_t filler;
    uint64_t answer;
    unsigned is_out;
};

static bool post(struct bed *bed, struct request *request, uint64_t number)
{
    struct vq_seg segs[3] = {{ram_gpa(&bed->ram, &request->question), 8},
                             {ram_gpa(&bed->ram, &request->filler), 8},
                             {ram_gpa(&bed->ram, &request->answer), 8}};

    request->question = number;
    request->answer = 0;
    if (vqueue_add(&bed->driver, segs, 2, 1, request) < 0) {
        return false;
    }
    request->is_out = 1;
    return true;
}

static unsigned reap_all(struct bed *bed)
{
    void *token = NULL;
    uint32_t len = 0;
    unsigned cnt = 0;
    int rc = 0;

    while ((rc = vqueue_reap(&bed->driver, &token, &len)) == 1) {
        struct request *request = token;

        g_assert_cmpuint(request->is_out, ==, 1);
        g_assert_cmpuint(len, ==, 8);
        g_assert_cmpuint(request->answer, ==, request->question);
        request->is_out = 0;
        cnt++;
    }
    g_assert_cmpint(rc, ==, 0); /* -EPROTO: an answer nobody waits for */
    return cnt;
}

/* Bits of a test's argument. */
enum { PACKED = 1, INDIRECT = 2 };

static void killed_at_any_instant(gconstpointer data)
{
    enum { KILLS = 600 };
    unsigned how = GPOINTER_TO_UINT(data);
    struct bed bed;
    struct request *requests = NULL;
    uint64_t number = 0;
    uint64_t answered = 0;

    set_up(&bed, how & PACKED, how & INDIRECT);
    requests = ram_alloc(&bed.ram, NUM * sizeof(*requests), 64);
    for (unsigned life = 0; life < KILLS; life++) {
        pid_t pid = start_device(&bed, life);
        gint64 until = g_get_monotonic_time() + g_random_int_range(50, 800);

        while (g_get_monotonic_time() < until) {
            for (unsigned i = 0; i < NUM; i++) {
                if (!requests[i].is_out && post(&bed, &requests[i], number + 1)) {
                    number++;
                }
            }
            answered += reap_all(&bed);
        }
        kill_device(pid);
        answered += reap_all(&bed);
    }
    /* the last life answers all that is left */
    pid_t pid = start_device(&bed, 0);
    gint64 until = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;

    while (answered < number && g_get_monotonic_time() < until) {
        answered += reap_all(&bed);
    }
    kill_device(pid);
    g_test_message("%d kills, %" G_GUINT64_FORMAT " chains", KILLS, number);
    g_assert_cmpuint(answered, ==, number);
    g_assert_cmpuint(vqueue_in_flight(&bed.driver), ==, 0);
    tear_down(&bed);
}

static uint64_t pop_number(struct bed *bed, struct vq_elem *elem)
{
    g_assert_cmpint(vq_pop(&bed->vq, elem), ==, 1);
    return *(uint64_t *)elem->chain.out[0].iov_base;
}

static void chains_come_again_in_their_order(gconstpointer data)
{
    unsigned how = GPOINTER_TO_UINT(data);
    g_autofree struct vq_elem *elems = g_new0(struct vq_elem, 8);
    static const uint64_t left[] = {3, 4, 6, 7, 8, 9};
    struct bed bed;
    struct request *requests = NULL;

    set_up(&bed, how & PACKED, how & INDIRECT);
    requests = ram_alloc(&bed.ram, NUM * sizeof(*requests), 64);
    g_assert_cmpint(begin_life(&bed, last_known_base(&bed)), ==, 0);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(post(&bed, &requests[i], i + 1));
        g_assert_cmpuint(pop_number(&bed, &elems[i]), ==, i + 1);
    }
    answer(&bed.vq, &elems[1]);
    answer(&bed.vq, &elems[0]);
    g_assert_cmpuint(reap_all(&bed), ==, 2);
    /* heads and ids come from the driver's free list, not in order any more */
    g_assert_true(post(&bed, &requests[0], 5));
    g_assert_true(post(&bed, &requests[1], 6));
    g_assert_cmpuint(pop_number(&bed, &elems[4]), ==, 5);
    g_assert_cmpuint(pop_number(&bed, &elems[5]), ==, 6);
    answer(&bed.vq, &elems[4]);
    g_assert_cmpuint(reap_all(&bed), ==, 1);
    if (how & INDIRECT) {
        for (unsigned i = 0; i < 3; i++) {
            g_assert_true(post(&bed, &requests[4 + i], 7 + i)); /* not popped */
        }
    }
    end_life(&bed);

    g_assert_cmpint(begin_life(&bed, last_known_base(&bed)), ==, 0);
    for (unsigned i = 0; i < (how & INDIRECT ? 6 : 3); i++) {
        g_assert_cmpuint(pop_number(&bed, &elems[i]), ==, left[i]);
    }
    g_assert_cmpint(vq_pop(&bed.vq, &elems[6]), ==, 0);
    for (unsigned i = 0; i < (how & INDIRECT ? 6 : 3); i++) {
        answer(&bed.vq, &elems[i]);
    }
    g_assert_cmpuint(reap_all(&bed), ==, how & INDIRECT ? 6 : 3);
    end_life(&bed);
    tear_down(&bed);
}

/* What a front end may hand back instead of what it was given. */
static void a_scribbled_region_does_no_harm(gconstpointer data)
{
    unsigned how = GPOINTER_TO_UINT(data);
    g_autofree struct vq_elem *elem = g_new0(struct vq_elem, 1);
    struct bed bed;
    uint8_t *region = NULL;
    struct request *requests = NULL;

    set_up(&bed, how & PACKED, how & INDIRECT);
    requests = ram_alloc(&bed.ram, NUM * sizeof(*requests), 64);
    region = mmap(NULL, bed.inflight_size, PROT_READ | PROT_WRITE, MAP_SHARED, bed.inflight_fd, 0);
    g_assert_true(region != MAP_FAILED);
    for (unsigned i = 0; i < 5; i++) {
        (void)post(&bed, &requests[i], i);
    }
    for (unsigned round = 0; round < 3000; round++) {
        for (size_t i = 0; i < bed.inflight_size; i++) {
            /* small numbers get further than large ones */
            region[i] = (uint8_t)(g_random_int_range(0, 4) == 0 ? g_random_int_range(0, 20) : 0);
        }
        region[bed.inflight_size / 2 + 8] = 1; /* version */
        region[bed.inflight_size / 2 + 9] = 0;
        region[bed.inflight_size / 2 + 10] = NUM;
        region[bed.inflight_size / 2 + 11] = 0;
        if (begin_life(&bed, last_known_base(&bed)) == 0) {
            for (unsigned i = 0; i < 2 * NUM && vq_pop(&bed.vq, elem) == 1; i++) {
                vq_push(&bed.vq, elem, 0);
            }
        }
        end_life(&bed);
    }
    munmap(region, bed.inflight_size);
    tear_down(&bed);
}

static void a_region_that_does_not_fit_is_refused(void)
{
    struct inflight *inflight = NULL;
    struct bed bed;
    uint64_t size = 0;

    set_up(&bed, false, true);
    size = bed.inflight_size;
    g_assert_cmpint(inflight_map(bed.inflight_fd, size, 0, 3, NUM, false, &inflight), ==, -EINVAL);
    g_assert_cmpint(inflight_map(bed.inflight_fd, size, 0, 2, 2 * NUM, false, &inflight), ==,
                    -EINVAL);
    g_assert_cmpint(inflight_map(bed.inflight_fd, size, 4096, 2, NUM, false, &inflight), ==,
                    -EINVAL);
    g_assert_cmpint(inflight_map(bed.inflight_fd, UINT64_MAX, 0, 2, NUM, false, &inflight), ==,
                    -EINVAL);
    g_assert_cmpint(inflight_map(bed.inflight_fd, size, 0, 2, NUM, true, &inflight), ==, -EINVAL);
    g_assert_null(inflight);
    /* a ring with more entries than its region, and one of the other format */
    g_assert_cmpint(inflight_map(bed.inflight_fd, size, 0, 2, NUM, false, &inflight), ==, 0);
    g_assert_cmpint(inflight_split_start(inflight_queue(inflight, 0), 2 * NUM, 0), ==, -EINVAL);
    g_assert_null(inflight_queue(inflight, 2));
    inflight_free(inflight);
    tear_down(&bed);
}

static void add_forms(const char *name, GTestDataFunc func)
{
    static const char *const forms[] = {"split", "packed", "split_indirect", "packed_indirect"};

    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_autofree char *path = g_strdup_printf("/inflight/%s/%s", name, forms[i]);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), func);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_forms("killed_at_any_instant", killed_at_any_instant);
    add_forms("chains_come_again_in_their_order", chains_come_again_in_their_order);
    add_forms("a_scribbled_region_does_no_harm", a_scribbled_region_does_no_harm);
    g_test_add_func("/inflight/a_region_that_does_not_fit_is_refused",
                    a_region_that_does_not_fit_is_refused);
    return g_test_run();
}
