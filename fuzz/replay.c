/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzzer's corpus as an ordinary test: one case for each file of the folder given. */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = argc == 2 ? g_dir_open(argv[1], 0, NULL) : NULL;
    const char *name = NULL;
    int failed = 0;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(names, g_strdup(name));
    /* An empty corpus is a mistake, not a success. */
    if (names->len == 0)
        return 1;
    printf("1..%u\n", names->len);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename(argv[1], names->pdata[i], NULL);
        g_autofree char *data = NULL;
        gsize size = 0;
        gboolean read = g_file_get_contents(path, &data, &size, NULL);
        if (read)
            LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        printf("%s %u - %s\n", read ? "ok" : "not ok", i + 1, (char *)names->pdata[i]);
        fflush(stdout);
        failed += !read;
    }
    return failed > 0;
}
