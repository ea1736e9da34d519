/*
 * Feeds every file of the folders given as arguments to a fuzz target, each in a block of exactly its size, so that a
 * sanitizer sees the first byte read too far. Says which file it is at before it runs it; an empty folder is an error.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    int error = !file || !data || fread(data, 1, size, file) != size;
    if (file)
        fclose(file);
    if (error) {
        perror(path);
    } else {
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return error ? -1 : 0;
}

/* The number of files replayed, or negative. */
static int replay_folder(const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort), n_files = 0;
    if (n < 0) {
        perror(folder);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat about;
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (n_files < 0 || stat(path, &about) || !S_ISREG(about.st_mode))
            continue;
        n_files = replay_file(path, (size_t)about.st_size) ? -1 : n_files + 1;
    }
    free(entries);
    return n_files;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = replay_folder(argv[i]);
        if (n <= 0) {
            fprintf(stderr, "replay: no inputs in %s\n", argv[i]);
            return 1;
        }
        printf("replayed %d files of %s\n", n, argv[i]);
    }
    return argc > 1 ? 0 : 2;
}
