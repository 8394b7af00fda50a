/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two sockets that QEMU connects to, and the lines on them.
 */
#include "libqtest.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm.h"

static G_GNUC_NORETURN void die(struct qtest *qts, const char *what)
{
    g_autofree char *log = daemon_log(&qts->qemu);

    fprintf(stderr, "qtest: %s\nQEMU's stderr: <<\n%s>>\n", what, log);
    fflush(stderr);
    abort();
}

char *qtest_binary(void)
{
    const char *named = g_getenv("QTEST_QEMU_BINARY");

    return named ? g_strdup(named) : g_find_program_in_path("qemu-system-x86_64");
}

/* The next line of a socket, without its end. */
static char *read_line(struct qtest *qts, int fd, GString *input)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)frontend_timeout_ms() * 1000;
    char *end = NULL;

    while (!(end = strchr(input->str, '\n'))) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        char buf[4096];
        ssize_t n = 0;

        if (left <= 0 || poll(&pfd, 1, (int)left) <= 0) {
            die(qts, "no answer in time");
        }
        n = recv(fd, buf, sizeof(buf), 0);
        if (n <= 0) {
            die(qts, "the connection is gone");
        }
        g_string_append_len(input, buf, n);
    }
    char *line = g_strndup(input->str, (gsize)(end - input->str));

    g_string_erase(input, 0, end - input->str + 1);
    return line;
}

static void send_line(struct qtest *qts, int fd, const char *format, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(format, ap);
    g_autofree char *line = g_strconcat(text, "\n", NULL);

    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
        die(qts, "the connection takes nothing");
    }
}

uint64_t qtest_command(struct qtest *qts, const char *format, ...)
{
    g_autofree char *answer = NULL;
    uint64_t value = 0;
    va_list ap;

    g_mutex_lock(&qts->lock);
    va_start(ap, format);
    send_line(qts, qts->qtest_fd, format, ap);
    va_end(ap);
    do {
        g_free(answer);
        answer = read_line(qts, qts->qtest_fd, qts->input);
    } while (g_str_has_prefix(answer, "IRQ ")); /* nobody asked, and nobody listens */
    if (!g_str_has_prefix(answer, "OK")) {
        die(qts, answer);
    }
    if (answer[2] == ' ') {
        value = g_ascii_strtoull(answer + 3, NULL, 0);
    }
    g_mutex_unlock(&qts->lock);
    return value;
}

/* Takes one line of QMP: notes an event, or says that it was the answer. */
static bool take_qmp_line(struct qtest *qts, bool *ret_is_error)
{
    g_autofree char *line = read_line(qts, qts->qmp_fd, qts->qmp_input);
    const char *event = strstr(line, "\"event\": \"");

    if (event) {
        const char *name = event + strlen("\"event\": \"");

        g_hash_table_add(qts->events, g_strndup(name, strcspn(name, "\"")));
        return false;
    }
    *ret_is_error = strstr(line, "\"error\"") != NULL;
    if (*ret_is_error) {
        fprintf(stderr, "QMP: %s\n", line);
    }
    return *ret_is_error || strstr(line, "\"return\"");
}

bool qtest_qmp(struct qtest *qts, const char *format, ...)
{
    bool is_error = false;
    va_list ap;

    va_start(ap, format);
    send_line(qts, qts->qmp_fd, format, ap);
    va_end(ap);
    while (!take_qmp_line(qts, &is_error)) {
    }
    return !is_error;
}

void qtest_wait_event(struct qtest *qts, const char *name)
{
    bool is_error = false;

    while (!g_hash_table_remove(qts->events, name)) {
        (void)take_qmp_line(qts, &is_error);
    }
}

static void make_ram(struct qtest *qts, size_t size)
{
    qts->ram_size = size;
    qts->ram_fd = memfd_create("guest", 0);
    g_assert_cmpint(ftruncate(qts->ram_fd, (off_t)size), ==, 0);
    qts->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, qts->ram_fd, 0);
    g_assert_true(qts->ram != MAP_FAILED);
}

/*
 * Firmware for QEMUs whose qtest accelerator is a module that was not packaged (Debian's): they
 * have a processor, which sleeps from its first instruction on.
 */
static char *make_firmware(const char *dir)
{
    enum { SIZE = 64 << 10, RESET_VECTOR = SIZE - 16 };
    static const uint8_t sleep_for_ever[] = {0xfa, 0xf4, 0xeb, 0xfc}; /* cli; hlt; jmp to cli */
    g_autofree uint8_t *image = g_malloc0(SIZE);
    char *path = g_build_filename(dir, "firmware", NULL);

    memcpy(image + RESET_VECTOR, sleep_for_ever, sizeof(sleep_for_ever));
    g_assert_true(g_file_set_contents(path, (const char *)image, SIZE, NULL));
    return path;
}

static int accept_one(struct qtest *qts, int listen_fd)
{
    struct pollfd pfd = {.fd = listen_fd, .events = POLLIN};
    int fd = -1;

    if (poll(&pfd, 1, frontend_timeout_ms()) <= 0) {
        die(qts, "QEMU does not connect");
    }
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    close(listen_fd);
    return fd;
}

static char **command_line(struct qtest *qts, const char *dir, const char *machine,
                           const char *qtest_path, const char *qmp_path, const char *const *words)
{
    GPtrArray *argv = g_ptr_array_new();

    g_ptr_array_add(argv, qtest_binary());
    g_ptr_array_add(argv, g_strdup("-machine"));
    g_ptr_array_add(argv, g_strdup_printf("%s,memory-backend=mem", machine));
    g_ptr_array_add(argv, g_strdup("-object"));
    g_ptr_array_add(argv, g_strdup_printf("memory-backend-file,id=mem,size=%zu,share=on,"
                                          "mem-path=/proc/self/fd/%d",
                                          qts->ram_size, qts->ram_fd));
    g_ptr_array_add(argv, g_strdup("-m"));
    g_ptr_array_add(argv, g_strdup_printf("size=%zuM,slots=4,maxmem=1G", qts->ram_size >> 20));
    g_ptr_array_add(argv, g_strdup("-accel"));
    g_ptr_array_add(argv, g_strdup("qtest"));
    g_ptr_array_add(argv, g_strdup("-accel")); /* where there is no such accelerator */
    g_ptr_array_add(argv, g_strdup("tcg"));
    g_ptr_array_add(argv, g_strdup("-bios"));
    g_ptr_array_add(argv, make_firmware(dir));
    g_ptr_array_add(argv, g_strdup("-qtest"));
    g_ptr_array_add(argv, g_strdup_printf("unix:%s", qtest_path));
    g_ptr_array_add(argv, g_strdup("-chardev"));
    g_ptr_array_add(argv, g_strdup_printf("socket,id=qmp,path=%s", qmp_path));
    g_ptr_array_add(argv, g_strdup("-mon"));
    g_ptr_array_add(argv, g_strdup("chardev=qmp,mode=control"));
    g_ptr_array_add(argv, g_strdup("-nodefaults"));
    g_ptr_array_add(argv, g_strdup("-display"));
    g_ptr_array_add(argv, g_strdup("none"));
    for (; words && *words; words++) {
        g_ptr_array_add(argv, g_strdup(*words));
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

void qtest_start(struct qtest *qts, const char *dir, const char *machine, size_t ram_size,
                 int keep_fd, const char *const *words)
{
    g_autofree char *qtest_path = g_build_filename(dir, "qtest", NULL);
    g_autofree char *qmp_path = g_build_filename(dir, "qmp", NULL);
    struct daemon_setup setup = {.keep_fd = keep_fd};
    int qtest_listen = vmm_listen(qtest_path);
    int qmp_listen = vmm_listen(qmp_path);

    memset(qts, 0, sizeof(*qts));
    g_assert_cmpint(qtest_listen, >=, 0);
    g_assert_cmpint(qmp_listen, >=, 0);
    make_ram(qts, ram_size);
    g_mutex_init(&qts->lock);
    qts->input = g_string_new(NULL);
    qts->qmp_input = g_string_new(NULL);
    qts->events = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) argv = command_line(qts, dir, machine, qtest_path, qmp_path, words);

    g_assert_cmpint(daemon_start(&qts->qemu, argv, &setup), ==, 0);
    qts->qtest_fd = accept_one(qts, qtest_listen);
    qts->qmp_fd = accept_one(qts, qmp_listen);
    g_free(read_line(qts, qts->qmp_fd, qts->qmp_input)); /* the greeting */
    g_assert_true(qtest_qmp(qts, "{'execute': 'qmp_capabilities'}"));
}

void qtest_quit(struct qtest *qts)
{
    g_assert_true(qtest_qmp(qts, "{'execute': 'quit'}"));
    g_assert_cmpint(daemon_wait_exit(&qts->qemu, frontend_timeout_ms()), ==, 0);
    g_assert_cmpint(qts->qemu.status, ==, 0);
}

void qtest_done(struct qtest *qts)
{
    if (!qts->input) {
        return; /* never started */
    }
    close(qts->qtest_fd);
    close(qts->qmp_fd);
    daemon_done(&qts->qemu);
    munmap(qts->ram, qts->ram_size);
    close(qts->ram_fd);
    g_string_free(qts->input, TRUE);
    g_string_free(qts->qmp_input, TRUE);
    g_hash_table_destroy(qts->events);
    g_mutex_clear(&qts->lock);
    memset(qts, 0, sizeof(*qts));
}
