/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzzer's entry point over the files of its corpus, for compilers without libFuzzer: every
 * input that once mattered stays a test. Fails when there is no input at all.
 */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_directory(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    const char *name;
    int n = 0;

    if (!dir) {
        fprintf(stderr, "%s\n", error->message);
        return -1;
    }
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autofree char *data = NULL;
        gsize size = 0;

        if (!g_file_get_contents(file, &data, &size, &error)) {
            fprintf(stderr, "%s\n", error->message);
            return -1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int n = replay_directory(argv[i]);

        if (n < 0) {
            return 1;
        }
        total += n;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
