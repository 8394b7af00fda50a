/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The emulated rename as plain functions, and the journal in the hands of others: entries that
 * somebody made up must do no harm when they are repaired.
 */
#include "fs/overlay_rename.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/whiteout.h"

#define JOURNAL RESERVED_PREFIX "journal"

struct fixture {
    char *dir;
    int root, proc;
    struct overlay_renames renames;
};

static struct fixture *fixture_new(void)
{
    struct fixture *f = g_new0(struct fixture, 1);

    f->dir = g_dir_make_tmp("virtiofsd-rename-XXXXXX", NULL);
    f->root = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    f->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    overlay_renames_init(&f->renames, f->root, f->proc);
    return f;
}

static void fixture_free(struct fixture *f)
{
    g_autofree char *command = g_strdup_printf("rm -r %s", f->dir);

    overlay_renames_done(&f->renames);
    close(f->root);
    close(f->proc);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(f->dir);
    g_free(f);
}

static void put(struct fixture *f, const char *name, const char *text)
{
    int fd = openat(f->root, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

    g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
    close(fd);
}

static void check_text(struct fixture *f, const char *name, const char *want)
{
    char text[64] = "";
    int fd = openat(f->root, name, O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(read(fd, text, sizeof(text) - 1), >=, 0);
    close(fd);
    g_assert_cmpstr(text, ==, want);
}

static bool is_there(struct fixture *f, const char *name)
{
    return faccessat(f->root, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int move(struct fixture *f, const char *name, const char *newname)
{
    struct rename_names names = {
        .dirfd = f->root, .name = name, .newdirfd = f->root, .newname = newname};

    return overlay_rename_whiteout(&f->renames, &names);
}

static void absent_and_present(void)
{
    struct fixture *f = fixture_new();

    put(f, "a", "A");
    g_assert_cmpint(move(f, "a", "b"), ==, 0);
    check_text(f, "b", "A");
    g_assert_true(whiteout_is_link(f->root, "a"));
    put(f, "c", "C");
    g_assert_cmpint(move(f, "c", "b"), ==, 0);
    check_text(f, "b", "C");
    g_assert_true(whiteout_is_link(f->root, "c"));
    g_assert_cmpint(move(f, "none", "b"), ==, -ENOENT);
    check_text(f, "b", "C");
    fixture_free(f);
}

static void directories_in_deep_places(void)
{
    struct fixture *f = fixture_new();
    struct rename_names names = {.name = "source", .newname = "dest"};
    g_autofree char *deep = g_strdup("x");

    g_assert_cmpint(mkdirat(f->root, "x", 0755), ==, 0);
    for (int i = 0; i < 30; i++) {
        char *deeper = g_strconcat(deep, "/d", NULL);

        g_assert_cmpint(mkdirat(f->root, deeper, 0755), ==, 0);
        g_free(deep);
        deep = deeper;
    }
    names.dirfd = names.newdirfd = openat(f->root, deep, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(mkdirat(names.dirfd, "source", 0755), ==, 0);
    g_assert_cmpint(mkdirat(names.dirfd, "source/inner", 0755), ==, 0);
    g_assert_cmpint(mkdirat(names.dirfd, "dest", 0755), ==, 0);
    g_assert_cmpint(overlay_rename_whiteout(&f->renames, &names), ==, 0);
    g_assert_true(whiteout_is_link(names.dirfd, "source"));
    g_assert_cmpint(faccessat(names.dirfd, "dest/inner", F_OK, 0), ==, 0);
    close(names.dirfd);
    fixture_free(f);
}

/* --- made-up journals --- */

static void write_journal(struct fixture *f, const char *name, const char *text)
{
    g_autofree char *path = g_strconcat(JOURNAL "/", name, NULL);

    if (mkdirat(f->root, JOURNAL, 0700) < 0) {
        g_assert_cmpint(errno, ==, EEXIST);
    }
    g_assert_cmpint(symlinkat(text, f->root, path), ==, 0);
}

#define NOBODY "//1 2 3//4 5 6"

static void made_up_intents_do_no_harm(void)
{
    static const char *const texts[] = {
        "",
        "v1",
        "v2//.//a//.//b//" RESERVED_PREFIX "tmp.1" NOBODY,
        "//////////////",
        "v1//..//a//..//b//" RESERVED_PREFIX "tmp.1" NOBODY,
        "v1//.//../a//.//../b//" RESERVED_PREFIX "tmp.1" NOBODY,
        "v1//.//a//.//b//b" NOBODY, /* the "temporary" name is a file of the user's */
        "v1//.//a//.//b//" RESERVED_PREFIX "/../b" NOBODY,
        "v1//.//a//.//..//" RESERVED_PREFIX "tmp.1" NOBODY,
        "v1//link//a//link//b//" RESERVED_PREFIX "tmp.1" NOBODY,
        "v1//.//a//.//b//" RESERVED_PREFIX "tmp.1//x//y",
        "v1//.//a//.//b//" RESERVED_PREFIX "tmp.1//1 2 3//0 0 0",
    };
    struct fixture *f = fixture_new();

    put(f, "a", "A");
    put(f, "b", "B");
    g_assert_cmpint(mkdirat(f->root, "dir", 0755), ==, 0);
    put(f, "dir/a", "DA");
    put(f, "dir/b", "DB");
    g_assert_cmpint(symlinkat("dir", f->root, "link"), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        char name[64];

        snprintf(name, sizeof(name), RESERVED_PREFIX "tmp.%zu", i);
        if (*texts[i]) {
            write_journal(f, name, texts[i]);
        }
    }
    overlay_renames_repair(&f->renames);
    check_text(f, "a", "A");
    check_text(f, "b", "B");
    check_text(f, "dir/a", "DA");
    check_text(f, "dir/b", "DB");
    g_assert_false(is_there(f, JOURNAL));
    fixture_free(f);
}

/* What is no entry of ours stays, and the journal with it. */
static void strangers_in_the_journal_stay(void)
{
    struct fixture *f = fixture_new();

    write_journal(f, "stranger", "x");
    overlay_renames_repair(&f->renames);
    g_assert_true(is_there(f, JOURNAL "/stranger"));
    fixture_free(f);
}

static void a_journal_that_is_a_link_is_not_followed(void)
{
    struct fixture *f = fixture_new();

    g_assert_cmpint(mkdirat(f->root, "dir", 0755), ==, 0);
    put(f, "dir/" RESERVED_PREFIX "tmp.1", "X");
    g_assert_cmpint(symlinkat("dir", f->root, JOURNAL), ==, 0);
    overlay_renames_repair(&f->renames);
    check_text(f, "dir/" RESERVED_PREFIX "tmp.1", "X");
    put(f, "a", "A");
    put(f, "b", "B");
    g_assert_cmpint(move(f, "a", "b"), <, 0);
    check_text(f, "a", "A");
    check_text(f, "b", "B");
    fixture_free(f);
}

static void a_clean_end_leaves_no_journal(void)
{
    struct fixture *f = fixture_new();

    put(f, "a", "A");
    put(f, "b", "B");
    g_assert_cmpint(move(f, "a", "b"), ==, 0);
    overlay_renames_done(&f->renames);
    g_assert_false(is_there(f, JOURNAL));
    overlay_renames_init(&f->renames, f->root, f->proc);
    fixture_free(f);
}

static void looks_are_repeated_only_after_a_rename(void)
{
    struct fixture *f = fixture_new();
    unsigned seq = overlay_renames_begin(&f->renames);

    g_assert_false(overlay_renames_changed(&f->renames, seq));
    put(f, "a", "A");
    put(f, "b", "B");
    g_assert_cmpint(move(f, "a", "b"), ==, 0);
    g_assert_true(overlay_renames_changed(&f->renames, seq));
    seq = overlay_renames_begin(&f->renames);
    g_assert_false(overlay_renames_changed(&f->renames, seq));
    fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/overlay_rename/" #name, name)
    ADD(absent_and_present);
    ADD(directories_in_deep_places);
    ADD(made_up_intents_do_no_harm);
    ADD(strangers_in_the_journal_stay);
    ADD(a_journal_that_is_a_link_is_not_followed);
    ADD(a_clean_end_leaves_no_journal);
    ADD(looks_are_repeated_only_after_a_rename);
    return g_test_run();
}
